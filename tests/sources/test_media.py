"""Pictures and sounds: read below their folder only, and within a size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kinfolk.sources.files import open_place
from kinfolk.sources.media import MediaProblem, MediaReader, Medium


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[MediaReader]:
    (tmp_path / "pictures/cats").mkdir(parents=True)
    (tmp_path / "pictures/cats/1.png").write_bytes(b"cat")
    (tmp_path / "pictures/large.png").write_bytes(b"x" * 101)
    (tmp_path / "pictures-of-others").mkdir()
    (tmp_path / "pictures-of-others/secret.png").write_bytes(b"secret")
    with MediaReader(open_place(str(tmp_path / "pictures")), max_bytes=100) as opened:
        yield opened


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cats/1.png", Medium(b"cat")),
        ("./cats/../cats/1.png", Medium(b"cat")),
        (b"in the row itself", Medium(b"in the row itself")),
        (None, Medium()),
        ("cats/2.png", Medium(problem=MediaProblem.MISSING)),
        ("large.png", Medium(problem=MediaProblem.TOO_LARGE)),
        (b"x" * 101, Medium(problem=MediaProblem.TOO_LARGE)),
        ("cats", Medium(problem=MediaProblem.UNREADABLE)),
        ("../pictures-of-others/secret.png", Medium(problem=MediaProblem.OUTSIDE_MEDIA_ROOT)),
        ("cats/../../pictures-of-others/secret.png", Medium(problem=MediaProblem.OUTSIDE_MEDIA_ROOT)),
        ("/etc/passwd", Medium(problem=MediaProblem.OUTSIDE_MEDIA_ROOT)),
        ("", Medium(problem=MediaProblem.OUTSIDE_MEDIA_ROOT)),
        ("cats/1\x00.png", Medium(problem=MediaProblem.UNREADABLE)),
    ],
)
def test_each_name_gives_content_or_its_problem(
    reader: MediaReader, name: str | bytes | None, expected: Medium
) -> None:
    assert list(reader.read_all([name])) == [expected]


def test_contents_come_in_the_order_of_the_names(reader: MediaReader) -> None:
    names = ["cats/1.png", "cats/2.png"] * 50
    assert [medium.content for medium in reader.read_all(names)] == [b"cat", None] * 50
