"""The examples of docs/rules.md run as they stand."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"


def test_the_examples_run(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    exec(compile("\n".join(map(textwrap.dedent, blocks)), str(PAGE), "exec"), {})
    printed = capsys.readouterr().out
    assert "[butter]|   [bread]|       1.0|1.33" in printed
    assert "[jam]|   [bread]|       1.0|1.33" in printed
    assert "4 baskets" in printed
    assert "[bread, wine]|19.5000|           1" in printed
    assert "33.5000 in all" in printed
    assert "[[printer], [ink]]|1.0       |5.5 " in printed
    assert "|         [Dairy]|        [Bakery]|       1.0|" in printed
