"""Which files a source names: a file, a folder or a pattern, on any file system that Arrow reads."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import pyarrow as pa
from pyarrow import fs

from kinfolk.errors import DataError
from kinfolk.settings import FileSource, ItemSource
from kinfolk.settings.ingest import Format

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".xz": "xz"}
ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


@dataclass(frozen=True, order=True)
class SourceFile:
    """A file as it stood when it was listed: its place, size in bytes, and time of modification in nanoseconds.

    `path` is the path within its file system; `file` is the path below the source's folder, which stays the same when
    the folder moves.
    """

    path: str
    file: str
    size: int
    modified_ns: int


Listed = tuple[FileSource, Sequence[SourceFile]]
"""A source and its files."""


@dataclass(frozen=True)
class Place:
    """A path within a file system; both can be sent to another process."""

    filesystem: fs.FileSystem
    path: str

    def list_files(self, *, is_recursive: bool) -> list[SourceFile]:
        """The files below this folder, or this file alone; none where there is nothing. One call lists a whole tree."""
        try:
            own = self.filesystem.get_file_info(self.path)
            if own.type == fs.FileType.File:
                return [_source_file(own, posixpath.dirname(self.path))]
            selector = fs.FileSelector(self.path, allow_not_found=True, recursive=is_recursive)
            infos = self.filesystem.get_file_info(selector)
        except OSError as error:
            raise DataError(f"the files below {self.path} cannot be listed: {error}") from None
        return [_source_file(info, self.path) for info in infos if info.type == fs.FileType.File]

    def is_file(self) -> bool:
        """Whether a file lies here, and not a folder or nothing."""
        return bool(self.filesystem.get_file_info(self.path).type == fs.FileType.File)


def open_place(path: str) -> Place:
    """The place that a local path or a URI names; raises DataError for a file system that cannot be reached."""
    if "://" not in path:
        return Place(fs.LocalFileSystem(), os.path.abspath(path))
    try:
        return Place(*fs.FileSystem.from_uri(path))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"the path {path} cannot be reached: {error}") from None


def list_source(source: FileSource) -> list[SourceFile]:
    """The files of a source, sorted by path; raises DataError when there is none.

    In a folder or a pattern, names that begin with a dot or an underscore are passed over, and in a folder also files
    of another format.
    """
    base, pattern = split_pattern(source.path)
    place = open_place(base)
    listed = place.list_files(is_recursive=len(pattern) != 1)
    if pattern:
        listed = [file for file in listed if not _is_hidden(file.file) and _matches(file.file.split("/"), pattern)]
    elif not place.is_file():
        listed = [file for file in listed if not _is_hidden(file.file) and _has_format(file.file, source.format)]
    if not listed:
        endings = ", ".join(ending for ending, kind in ENDINGS.items() if source.format in (None, kind))
        raise DataError(
            f"source {source.name}: no file matches {source.path}; name a file, a folder with files that end in "
            f"{endings} (also compressed: {', '.join(COMPRESSIONS)}), or a pattern such as data/*.csv"
        )
    return sorted(listed)


def list_media(source: ItemSource, files: Iterable[SourceFile]) -> list[SourceFile]:
    """Every file below the folders where the source's pictures and sounds lie; none where the source names neither."""
    if not (source.image or source.audio):
        return []
    places = {place.path: place for place in (media_place(source, file.path) for file in files)}
    return sorted({file for place in places.values() for file in place.list_files(is_recursive=True)})


def media_place(source: ItemSource, path: str) -> Place:
    """The folder that paths of pictures and sounds are relative to, for rows of the file at `path`."""
    if source.media_root is not None:
        return open_place(source.media_root)
    return Place(source_filesystem(source), posixpath.dirname(path))


def source_filesystem(source: FileSource) -> fs.FileSystem:
    """The file system that the files of a source lie on."""
    return open_place(split_pattern(source.path)[0]).filesystem


def format_of(source: FileSource, path: str) -> Format:
    """The format the settings name, or else what the file's name ends with; raises DataError when neither says."""
    found = source.format or _known_format(path)
    if found is None:
        raise DataError(
            f"source {source.name}: the name of {path} does not say its format; set `format` to csv, jsonl or parquet"
        )
    return found


def compression_of(path: str) -> str | None:
    """gzip, bz2, zstd or xz, by the file's ending; None for a plain file.

    >>> compression_of("sales/2026-01.csv.xz")
    'xz'
    """
    return COMPRESSIONS.get(posixpath.splitext(path)[1].lower())


def split_pattern(path: str) -> tuple[str, list[str]]:
    """Split a path into the folder before its first wildcard and the parts from there on.

    In a URI a question mark begins the options of the file system, which stay with the folder.

    >>> split_pattern("data/2026-*/**/*.csv")
    ('data', ['2026-*', '**', '*.csv'])
    >>> split_pattern("s3://bucket/sales/*.csv?region=eu-central-1")
    ('s3://bucket/sales?region=eu-central-1', ['*.csv'])
    """
    wildcards, mark, options = "*?[", "", ""
    if "://" in path:
        wildcards = "*["
        path, mark, options = path.partition("?")
    parts = path.split("/")
    first = next((n for n, part in enumerate(parts) if any(sign in part for sign in wildcards)), len(parts))
    base = "/".join(parts[:first]) or ("/" if path.startswith("/") else ".")
    return base + mark + options, parts[first:]


def _matches(parts: list[str], pattern: list[str]) -> bool:
    """Whether the parts of a path match those of a pattern; `**` stands for any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _is_hidden(file: str) -> bool:
    return any(part.startswith((".", "_")) for part in file.split("/"))


def _known_format(path: str) -> Format | None:
    name = path.lower()
    if compression_of(name):
        name = posixpath.splitext(name)[0]
    return ENDINGS.get(posixpath.splitext(name)[1])


def _has_format(path: str, wanted: Format | None) -> bool:
    known = _known_format(path)
    return known is not None and wanted in (None, known)


def _source_file(info: fs.FileInfo, base: str) -> SourceFile:
    below = info.path[len(base) :].lstrip("/") if info.path.startswith(base) else info.path
    return SourceFile(info.path, below, info.size or 0, info.mtime_ns or 0)
