"""Bytes of a file as UTF-8: decompressed on the way, and from whatever encoding they are in."""

from __future__ import annotations

import codecs
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

import pyarrow as pa
from pyarrow import fs

from kinfolk.errors import DataError
from kinfolk.sources.files import compression_of

UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error, pa.ArrowException)
"""What reading a file that is cut off or damaged may raise."""

UNDECODABLE = "\ufdd0"
"""Stands in the place of bytes that are no text in the encoding named; Unicode keeps this one out of all texts."""
MARKING = "kinfolk.undecodable"
"""The way to decode that puts the mark above in the place of such bytes."""


def _mark_undecodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return UNDECODABLE, error.end


codecs.register_error(MARKING, _mark_undecodable)


class Utf8Stream:
    """A readable stream of UTF-8, undecodable bytes marked, that counts the quotation marks that went through it."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(MARKING)
        self.quotation_marks = 0
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """About `size` bytes, fewer or more as texts shrink or grow from one encoding to the other; none at the end."""
        text, content = "", b"more"
        while content and not text:
            content = self._stream.read(size)
            text = self._decoder.decode(content, final=not content)
        self.quotation_marks += text.count('"')
        return text.encode("utf-8")

    def close(self) -> None:
        """End reading; whoever opened the stream below closes it."""
        self.closed = True


@contextmanager
def open_stream(filesystem: fs.FileSystem, path: str) -> Iterator[IO[bytes]]:
    """Open a file for reading once from front to back, decompressed by its ending."""
    compression = compression_of(path)
    if compression == "xz":
        # Neither Arrow nor Hadoop knows xz; Hadoop would even hand on the compressed bytes as rows.
        with filesystem.open_input_stream(path) as raw, lzma.open(cast(IO[bytes], raw)) as opened:
            yield cast(IO[bytes], opened)
        return
    with filesystem.open_input_stream(path, compression=compression) as opened:
        yield cast(IO[bytes], opened)


@contextmanager
def naming_file(path: str) -> Iterator[None]:
    """Turn what a damaged file raises into a DataError that names the file."""
    try:
        yield
    except UNREADABLE as error:
        raise DataError(f"the file {path} cannot be read: {type(error).__name__}: {error}") from error


def as_arrow_file(stream: Utf8Stream) -> Any:
    """The stream in the shape that Arrow's readers take."""
    return pa.PythonFile(stream, mode="r")
