"""What the driver hears of a task that is still at work."""

from __future__ import annotations

import time
from pathlib import Path

from kinfolk.tasks.notices import listening, tell


def test_a_notice_is_heard_once_while_the_task_is_at_work(tmp_path: Path) -> None:
    heard: list[str] = []
    with listening(f"{tmp_path}/one.notice", heard.append):
        tell("half way", f"{tmp_path}/one.notice")
        limit = time.monotonic() + 10
        while not heard and time.monotonic() < limit:
            time.sleep(0.01)
        assert heard == ["half way"]
    assert heard == ["half way"], "once"
    with listening(f"{tmp_path}/none.notice", heard.append):
        pass
    assert len(heard) == 1
