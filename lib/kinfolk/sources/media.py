"""Pictures and sounds that rows name: read below one folder, within a size, and never outside it."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from pyarrow import fs

from kinfolk.sources.files import Place

_FILES_AT_A_TIME = 8
_BYTES_AT_A_TIME = 256 << 20


class MediaProblem(StrEnum):
    """Why a picture or a sound that a row names is not there."""

    MISSING = "missing"
    """There is no such file."""
    TOO_LARGE = "too_large"
    """The file is larger than `ingest.max_media_bytes`."""
    OUTSIDE_MEDIA_ROOT = "outside_media_root"
    """The path leads out of the folder that it should be below."""
    UNREADABLE = "unreadable"
    """The file is there and could not be read."""


@dataclass(frozen=True)
class Medium:
    """Content of a picture or a sound file, or why there is none; neither where the row names no file."""

    content: bytes | None = None
    problem: MediaProblem | None = None


class MediaReader:
    """Reads files below one folder, several at a time; a context manager that ends its threads."""

    def __init__(self, root: Place, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._pool = ThreadPoolExecutor(_FILES_AT_A_TIME)
        self.files_at_a_time = max(1, min(256, _BYTES_AT_A_TIME // max_bytes))
        """So many files are within the memory that one step may take."""

    def __enter__(self) -> MediaReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def read_all(self, names: Sequence[str | bytes | None]) -> list[Medium]:
        """The content of each file named, in order; bytes in the place of a name are the content itself."""
        return list(self._pool.map(self._read, names))

    def _read(self, name: str | bytes | None) -> Medium:
        if name is None:
            return Medium()
        if isinstance(name, bytes):
            return self._within_size(name)
        path = resolve_below(self._root.path, name)
        if path is None:
            return Medium(problem=MediaProblem.OUTSIDE_MEDIA_ROOT)
        try:
            with self._root.filesystem.open_input_stream(path, compression=None) as opened:
                return self._within_size(opened.read(self._max_bytes + 1))
        except FileNotFoundError:
            return Medium(problem=MediaProblem.MISSING)
        except (OSError, ValueError):
            # A folder, a file without permission, a name with a null byte.
            return Medium(problem=self._why_unreadable(path))

    def _within_size(self, content: bytes) -> Medium:
        if len(content) > self._max_bytes:
            return Medium(problem=MediaProblem.TOO_LARGE)
        return Medium(content)

    def _why_unreadable(self, path: str) -> MediaProblem:
        try:
            kind = self._root.filesystem.get_file_info(path).type
        except (OSError, ValueError):
            return MediaProblem.UNREADABLE
        return MediaProblem.MISSING if kind == fs.FileType.NotFound else MediaProblem.UNREADABLE


def resolve_below(root: str, name: str) -> str | None:
    """The path of `name` below `root`, or None where it would lead out of it.

    >>> resolve_below("/data/pictures", "cats/1.png")
    '/data/pictures/cats/1.png'
    >>> resolve_below("/data/pictures", "../secrets.txt") is None
    True
    """
    path = posixpath.normpath(posixpath.join(root, name))
    return path if path.startswith(root.rstrip("/") + "/") else None
