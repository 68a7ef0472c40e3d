"""Which files a source names, and what is said when their heads do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinfolk.errors import DataError
from kinfolk.settings import EventSource, ItemSource
from kinfolk.sources import check_sources, list_media, list_source
from kinfolk.sources.files import format_of

TREE = ["all.csv", "2025/jan.csv", "2026/jan.csv.gz", "2026/feb.jsonl", "2026/deep/mar.parquet", "2026/notes.txt"]
HIDDEN = ["_tmp/part.csv", ".cache/old.csv", "2026/_SUCCESS.csv"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in TREE + HIDDEN:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("basket,item\n1,2\n")
    return tmp_path / "tree"


def make_source(path: object, **options: str) -> EventSource:
    return EventSource(name="shop", path=str(path), basket="basket", item="item", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("all.csv", ["all.csv"]),
        ("", ["2025/jan.csv", "2026/deep/mar.parquet", "2026/feb.jsonl", "2026/jan.csv.gz", "all.csv"]),
        ("*.csv", ["all.csv"]),
        ("20*/*", ["2025/jan.csv", "2026/feb.jsonl", "2026/jan.csv.gz", "2026/notes.txt"]),
        ("20*/jan.csv*", ["2025/jan.csv", "2026/jan.csv.gz"]),
        ("**/*.csv", ["2025/jan.csv", "all.csv"]),
        ("2026/**/[a-m]*.p?rquet", ["deep/mar.parquet"]),
    ],
)
def test_files_folders_and_patterns(tree: Path, path: str, expected: list[str]) -> None:
    assert [file.file for file in list_source(make_source(f"{tree}/{path}".rstrip("/")))] == expected


def test_a_file_uri_is_read_like_a_path(tree: Path) -> None:
    by_uri, by_path = (list_source(make_source(path)) for path in ((tree / "2025").as_uri(), tree / "2025"))
    assert by_uri == by_path
    assert by_path[0].size == len("basket,item\n1,2\n")
    assert by_path[0].modified_ns == (tree / "2025/jan.csv").stat().st_mtime_ns


def test_a_folder_gives_files_of_the_named_format_only(tree: Path) -> None:
    assert [f.file for f in list_source(make_source(tree, format="jsonl"))] == ["2026/feb.jsonl"]


@pytest.mark.parametrize("path", ["nowhere", "nowhere/*.csv", "2026/*.csv", "*.orc"])
def test_no_file_is_an_error_that_says_what_would_do(tree: Path, path: str) -> None:
    with pytest.raises(DataError, match=r"source shop: no file matches .*; name a file, a folder .*\.csv.*\.xz"):
        list_source(make_source(tree / path))


def test_an_unknown_ending_needs_a_format(tree: Path) -> None:
    with pytest.raises(DataError, match=r"notes\.txt does not say its format; set `format`"):
        format_of(make_source(tree / "2026/notes.txt"), str(tree / "2026/notes.txt"))
    assert format_of(make_source("a.txt", format="csv"), "a.txt") == "csv"


def test_every_file_below_the_media_folder_counts(tree: Path) -> None:
    beside = ItemSource(name="things", path=str(tree / "2026/feb.jsonl"), id="id", image="image")
    assert len(list_media(beside, list_source(beside))) == 5
    elsewhere = beside.model_copy(update={"media_root": str(tree / "2025")})
    assert [file.file for file in list_media(elsewhere, list_source(elsewhere))] == ["jan.csv"]
    texts = ItemSource(name="things", path=str(tree / "all.csv"), id="id", text="text")
    assert list_media(texts, list_source(texts)) == []


def check(*sources: EventSource) -> None:
    check_sources([(source, list_source(source)) for source in sources])


def test_missing_columns_are_named_with_the_nearest_there_is(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Basket,item,amount\n1,2,3\n")
    (tmp_path / "b.csv").write_text("basket,item,item\n1,2,3\n")
    (tmp_path / "c.csv").write_text("")
    with pytest.raises(DataError) as caught:
        check(make_source(tmp_path / "*.csv"))
    message = str(caught.value)
    assert "a.csv has no column 'basket', which sources.shop names as basket; the nearest is 'Basket'" in message
    assert "there are: Basket, item, amount" in message
    assert "b.csv has 2 columns 'item'" in message
    assert "c.csv" not in message


def test_input_without_any_row_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("basket,item\n")
    (tmp_path / "b.jsonl").write_text("")
    with pytest.raises(DataError, match="the input is empty: none of the 2 files"):
        check(make_source(tmp_path))
    (tmp_path / "b.jsonl").write_text('{"basket": 1, "item": 2}\n')
    check(make_source(tmp_path))
    check_sources([])
