"""Locks pin everything by hash and name no place to fetch it from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LOCKS = Path(__file__).resolve().parents[2] / "deploy" / "locks"
FILES = sorted(LOCKS.iterdir())


@pytest.mark.parametrize("lock", FILES, ids=lambda lock: lock.name)
def test_a_lock_names_no_address(lock: Path) -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links|trusted-host", lock.read_text())


@pytest.mark.parametrize("lock", [lock for lock in FILES if lock.name != "jars.txt"], ids=lambda lock: lock.name)
def test_every_requirement_is_pinned_with_a_hash(lock: Path) -> None:
    requirements = re.split(r"^(?=\S)", lock.read_text(), flags=re.MULTILINE)[1:]
    assert requirements
    for requirement in requirements:
        assert re.match(r"[a-z0-9._-]+==\S+ \\\n( +--hash=sha256:[0-9a-f]{64}( \\)?\n)+$", requirement), requirement[
            :80
        ]


def test_every_jar_is_pinned_with_a_hash() -> None:
    lines = [line for line in (LOCKS / "jars.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines[0].startswith("io.delta:delta-spark_")
    for line in lines:
        assert re.fullmatch(r"[\w.-]+:[\w.-]+:[\w.-]+ sha256:[0-9a-f]{64}", line), line
