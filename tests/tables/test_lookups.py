"""Look-ups over a small lake written without Spark."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from kinfolk.errors import NotFoundError, SettingsError
from kinfolk.tables.catalog import (
    CATALOG,
    CLEAN_ITEMS,
    ITEM_COPIES,
    ITEM_EMBEDDINGS,
    ITEM_GROUPS,
    ITEM_NEIGHBORS,
    JOIN_AUDITS,
    SIMILAR_PAIRS,
)
from kinfolk.tables.contract import Table
from kinfolk.tables.lake import Lake
from kinfolk.tables.lookups import find_pair, find_similar, list_tables, read_embeddings, run_sql

WHEN = datetime(2026, 1, 2, tzinfo=UTC)


def put(lake: Lake, table: Table, *rows: dict) -> None:
    """Write rows that name only the columns that matter; the others are null, provenance is made up."""
    full = [{"run_id": "r", "updated_at": WHEN} | row for row in rows]
    schema = pa.schema([field.with_nullable(nullable=True) for field in table.arrow_schema()])
    write_deltalake(lake.path(table.name), pa.Table.from_pylist(full, schema=schema), mode="overwrite")


def item(item_id: str, text: str) -> dict:
    return {
        "item_id": item_id,
        "subject_id": item_id,
        "source": "s",
        "text": text,
        "label": "fruit",
        "image": b"x" * 99,
    }


@pytest.fixture
def stocked(lake: str) -> Lake:
    """Items a to d, of which b copies a."""
    stock = Lake(lake)
    put(stock, CLEAN_ITEMS, item("a", "red apple"), item("b", "apple again"), item("c", "pear"), item("d'", "plum"))
    put(stock, ITEM_COPIES, {"item_id": "b", "representative_id": "a"})
    put(stock, ITEM_GROUPS, *({"item_id": i, "group_id": "a", "group_size": 3} for i in "abc"))
    near = [("a", 1, "c", 0.9), ("a", 2, "d'", 0.4), ("c", 1, "a", 0.9), ("d'", 1, "a", 0.4)]
    names = ("item_id", "rank", "neighbor_id", "similarity")
    put(stock, ITEM_NEIGHBORS, *(dict(zip(names, row, strict=True)) for row in near))
    return stock


def test_tables_lists_the_whole_catalog_and_what_stands(stocked: Lake) -> None:
    put(stocked, ITEM_COPIES, {"item_id": "b", "representative_id": "a"})
    infos = {info.name: info for info in list_tables(stocked)}
    assert list(infos) == list(CATALOG)
    copies, absent = infos["item_copies"], infos["raw_events"]
    assert (copies.rows, copies.version, copies.meaning) == (1, 1, ITEM_COPIES.meaning)
    assert copies.updated is not None
    assert abs((datetime.now(UTC) - copies.updated).total_seconds()) < 60
    assert (absent.rows, absent.version, absent.updated) == (None, None, None)


def test_similar_tells_neighbours_in_order_with_their_texts(stocked: Lake) -> None:
    answer = find_similar(stocked, "a")
    assert [(n.rank, n.item_id, n.similarity, n.text, n.label) for n in answer.neighbors] == [
        (1, "c", 0.9, "pear", "fruit"),
        (2, "d'", 0.4, "plum", "fruit"),
    ]
    assert (answer.text, answer.copies, answer.representative_id) == ("red apple", ["b"], None)
    assert (answer.group_id, answer.group_size) == ("a", 3)
    assert [n.item_id for n in find_similar(stocked, "a", limit=1).neighbors] == ["c"]


def test_a_copy_is_answered_through_its_representative(stocked: Lake) -> None:
    answer = find_similar(stocked, "b")
    assert (answer.representative_id, answer.copies) == ("a", ["a"])
    assert [n.item_id for n in answer.neighbors] == ["c", "d'"]


def test_an_item_alone_has_no_group_and_a_quote_in_its_id_does_no_harm(stocked: Lake) -> None:
    answer = find_similar(stocked, "d'")
    assert (answer.group_id, answer.group_size, answer.copies) == (None, 1, [])
    assert [n.item_id for n in answer.neighbors] == ["a"]


def test_an_unknown_item_is_answered_with_the_nearest(stocked: Lake) -> None:
    with pytest.raises(NotFoundError, match=r"no item 'PEAR'.*did you mean c \(pear\)"):
        find_similar(stocked, "PEAR")
    with pytest.raises(NotFoundError, match=r"did you mean d' \(plum\)"):
        find_similar(stocked, "dd'")


def test_a_look_up_before_the_job_names_what_is_missing(lake: str) -> None:
    with pytest.raises(NotFoundError, match=r"no table clean_items .*run the job"):
        find_similar(Lake(lake), "a")


def test_a_pair_is_looked_up_from_either_side_and_through_copies(stocked: Lake) -> None:
    put(stocked, SIMILAR_PAIRS, {"left_id": "a", "right_id": "c", "similarity": 0.9})
    pair = find_pair(stocked, "c", "a")
    assert (pair.left.item_id, pair.left.text, pair.right.label) == ("c", "pear", "fruit")
    assert (pair.similarity, pair.is_identical, pair.measure, pair.left.embedding) == (0.9, False, None, None)
    through = find_pair(stocked, "b", "c")
    assert (through.left.representative_id, through.similarity) == ("a", 0.9)
    assert find_pair(stocked, "a", "d'").similarity is None
    copies = find_pair(stocked, "a", "b")
    assert (copies.is_identical, copies.similarity) == (True, None)


def test_a_pair_tells_the_measure_of_the_last_join(stocked: Lake) -> None:
    put(stocked, SIMILAR_PAIRS)
    audits = [("old", "cosine", 1), ("new", "jaccard", 3), ("older", "overlap", 0)]
    put(stocked, JOIN_AUDITS, *(
        {"join_run_id": run, "measure": measure, "updated_at": WHEN + timedelta(hours=hour)}
        for run, measure, hour in audits
    ))  # fmt: skip
    assert find_pair(stocked, "a", "c").measure == "jaccard"


def test_embeddings_are_those_of_one_modality(stocked: Lake) -> None:
    put(stocked, SIMILAR_PAIRS)
    rows = [("a", "image", [1.0, 2.0], "1"), ("c", "image", [3.0, 4.0], "2"), ("a", "text", [5.0], "1")]
    names = ("item_id", "modality", "embedding", "model_version")
    put(stocked, ITEM_EMBEDDINGS, *({"model_name": "m"} | dict(zip(names, row, strict=True)) for row in rows))
    found = read_embeddings(stocked, "image")
    assert dict(zip(*found.rows.to_pydict().values(), strict=True)) == {"a": [1.0, 2.0], "c": [3.0, 4.0]}
    assert (found.version, found.models) == (0, ["m/1", "m/2"])
    pair = find_pair(stocked, "a", "c", modality="image")
    assert (pair.left.embedding, pair.right.embedding) == ([1.0, 2.0], [3.0, 4.0])
    with pytest.raises(NotFoundError, match="'c' has no embedding of modality text; it has one of image"):
        find_pair(stocked, "a", "c", modality="text")


def test_sql_joins_tables_by_name_in_any_case(stocked: Lake) -> None:
    query = """SELECT i.TEXT, n.similarity FROM Clean_Items i JOIN item_neighbors n ON i.item_id = n.neighbor_id
    WHERE n.item_id = 'a' ORDER BY n."rank" """
    answer = run_sql(stocked, query)
    assert answer.columns == ["text", "similarity"]
    assert answer.rows == [("pear", 0.9), ("plum", 0.4)]
    assert not answer.is_cut


def test_sql_gives_times_in_utc_and_dates(stocked: Lake) -> None:
    query = """SELECT updated_at, CAST(NULL AS TIMESTAMP), TIMESTAMP '1969-12-31 23:59:59.5', DATE '1969-12-31'
    FROM item_copies"""
    assert run_sql(stocked, query).rows == [
        (WHEN, None, datetime(1969, 12, 31, 23, 59, 59, 500000), date(1969, 12, 31))
    ]


def test_sql_is_cut_at_the_limit_and_says_so(stocked: Lake) -> None:
    query = "WITH some AS (SELECT item_id FROM clean_items) SELECT * FROM some ORDER BY item_id"
    assert run_sql(stocked, query, limit=3).rows == [("a",), ("b",), ("c",)]
    assert run_sql(stocked, query, limit=3).is_cut
    assert not run_sql(stocked, query, limit=4).is_cut


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM clean_items",
        "INSERT INTO clean_items SELECT * FROM clean_items",
        "DROP TABLE clean_items",
        "COPY (SELECT 1 AS a) TO '{folder}/out.csv'",
        "SELECT 1; COPY (SELECT 1 AS a) TO '{folder}/out.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO '{folder}/out.csv'",
        "WITH x AS (SELECT 1) INSERT INTO item_copies SELECT 'q', 'p', 'r', now()",
        "",
    ],
)
def test_sql_writes_nothing(stocked: Lake, query: str) -> None:
    with pytest.raises(SettingsError):
        run_sql(stocked, query.format(folder=stocked.root))
    assert not list(Path(stocked.root).glob("out.csv*"))
    assert {stocked.open(table).version() for table in (CLEAN_ITEMS, ITEM_COPIES)} == {0}


def test_sql_errors_say_what_is_there(stocked: Lake) -> None:
    with pytest.raises(NotFoundError, match=r"no table job_runs in the lake .* yet; run the job"):
        run_sql(stocked, "SELECT * FROM job_runs")
    with pytest.raises(NotFoundError, match="no table items; there are: clean_items, item_neighbors"):
        run_sql(stocked, "SELECT * FROM items")
    with pytest.raises(SettingsError, match="colour"):
        run_sql(stocked, "SELECT colour FROM clean_items")
    with pytest.raises(SettingsError, match="ivide by zero"):
        run_sql(stocked, "SELECT group_size / 0 FROM item_groups")
    with pytest.raises(SettingsError, match="limit on rows is 0"):
        run_sql(stocked, "SELECT 1", limit=0)


def test_look_ups_load_nothing_heavy(stocked: Lake) -> None:
    code = f"""if True:
        import sys, kinfolk.console
        from kinfolk.tables.lookups import *
        lake = Lake({stocked.root!r})
        list_tables(lake), find_similar(lake, "a")
        run_sql(lake, "SELECT *, DATE '2026-01-01', 1.5::decimal(9, 2) FROM clean_items")
        print(*sys.modules)"""
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "deltalake" in loaded
    assert not {"pandas", "torch", "pyspark", "mlflow", "numba"} & set(loaded)
