"""The examples of docs/similarity.md run as they stand."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PAGE = Path(__file__).parents[2] / "docs" / "similarity.md"


def test_the_examples_run(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    exec(compile("\n".join(map(textwrap.dedent, blocks)), str(PAGE), "exec"), {})
    printed = capsys.readouterr().out
    assert "0.8333333333333334" in printed
    assert "0.5714285714285714" in printed
    assert "SideCount(items=3, distinct=2, copies=1, rejected=0)" in printed
