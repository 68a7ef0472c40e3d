"""Where tables and their files lie: a local path, or a URI of any storage; credentials come from the environment."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from kinfolk.errors import SettingsError


def plain_uri(path: str) -> str:
    """A path or URI as all but Hadoop spell it.

    >>> plain_uri("s3a://bucket/lake"), plain_uri("/data/lake")
    ('s3://bucket/lake', '/data/lake')
    """
    return re.sub(r"^s3a://", "s3://", path)


@lru_cache(maxsize=16)
def open_filesystem(root: str) -> tuple[pafs.FileSystem, str]:
    """The file system that holds `root`, and the path of `root` in it. Raises SettingsError where nothing reads it."""
    if urlsplit(root).scheme in ("", "file"):
        path = unquote(urlsplit(root).path) if root.startswith("file:") else root
        return pafs.LocalFileSystem(), os.path.abspath(path)
    address = plain_uri(root)
    try:
        filesystem, path = pafs.FileSystem.from_uri(address)
    except pa.ArrowInvalid:
        filesystem, path = _open_by_fsspec(address)
    return filesystem, path.rstrip("/")


def _open_by_fsspec(address: str) -> tuple[pafs.FileSystem, str]:
    """What Arrow does not know itself, such as Azure's or SFTP; raises SettingsError where fsspec does not either."""
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise SettingsError(
            f"{address} lies on a file system that neither Arrow nor fsspec can read: {error}"
        ) from None
    return pafs.PyFileSystem(pafs.FSSpecHandler(filesystem)), path
