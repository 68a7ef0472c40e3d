"""Reading single members of verified archives: only what is expected, and never more bytes than expected."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kinfolk.errors import FetchError


@dataclass(frozen=True)
class Member:
    """A regular file of an archive: its name, content and modification time in seconds since 1970."""

    name: str
    content: bytes
    modified: float


def read_tar_members(archive: Path, *, wanted: Callable[[str], bool], max_bytes: int) -> Iterator[Member]:
    """Yield the regular files of a gzipped tar whose names are wanted, in one pass.

    Nothing is extracted, so names cannot lead out of a folder, and links are passed over. Raises FetchError when the
    archive is broken or a member is larger than `max_bytes`.
    """
    try:
        with tarfile.open(archive, "r:gz") as opened:
            for info in opened:
                if not info.isreg() or not wanted(info.name):
                    continue
                _check_size(archive, info.name, info.size, max_bytes)
                file = opened.extractfile(info)
                if file is not None:
                    yield Member(info.name, file.read(), info.mtime)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise FetchError(f"the archive {archive.name} cannot be read: {error}; delete it and fetch again") from None


def read_zip_member(archive: Path, name: str, *, max_bytes: int) -> Member:
    """Read one file of a zip archive; raises FetchError when it is missing, broken or larger than `max_bytes`."""
    try:
        with zipfile.ZipFile(archive) as opened:
            info = opened.getinfo(name)
            _check_size(archive, name, info.file_size, max_bytes)
            modified = datetime(*info.date_time, tzinfo=UTC).timestamp()
            return Member(name, opened.read(info), modified)
    except (zipfile.BadZipFile, KeyError, OSError, ValueError) as error:
        raise FetchError(f"{name} cannot be read from the archive {archive.name}: {error}; fetch it again") from None


def _check_size(archive: Path, name: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise FetchError(f"{name} in {archive.name} has {size} bytes; at most {max_bytes} are expected")
