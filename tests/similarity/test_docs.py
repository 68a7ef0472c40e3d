"""The example of docs/similarity.md runs as it stands."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PAGE = Path(__file__).parents[2] / "docs" / "similarity.md"


def test_the_example_runs(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    exec(compile(textwrap.dedent(block), str(PAGE), "exec"), {})
    printed = capsys.readouterr().out
    assert "0.8333333333333334" in printed
    assert "SideCount(items=3, distinct=2, copies=1, rejected=0)" in printed
