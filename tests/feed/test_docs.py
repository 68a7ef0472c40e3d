"""The example of docs/feed.md runs as it stands."""

import re
import textwrap
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "feed.md"


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    (block,) = re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    exec(compile(textwrap.dedent(block), str(PAGE), "exec"), {})
    printed = capsys.readouterr().out
    assert "500 rows in 1 row groups" in printed
    assert "256 rows," in printed or "250 rows," in printed
