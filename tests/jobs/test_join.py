"""The whole join job: the tables it leaves, also after a kill, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tiny_items import make_clean_items, make_embeddings, put_rows

from kinfolk.errors import DataError, LossLimitError, SettingsError
from kinfolk.jobs.join import JOB
from kinfolk.run import Outcome, run_job
from kinfolk.settings import Settings
from kinfolk.similarity.oracle import OracleJoin, join_by_brute_force
from kinfolk.tables.catalog import (
    CLEAN_ITEMS,
    GROUP_EVENTS,
    ITEM_COPIES,
    ITEM_EMBEDDINGS,
    ITEM_GROUPS,
    ITEM_NEIGHBORS,
    JOB_RUNS,
    JOIN_AUDITS,
    REJECTED_ROWS,
    SIMILAR_PAIRS,
)
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from kinfolk.tables.contract import Table

MakeSettings = Callable[..., Settings]
SECTION = {"threshold": 0.9, "neighbors": 3}

JOIN_AND_DIE = """
import os, signal, sys
from kinfolk.jobs.join import JOB
from kinfolk.run import run_job
from kinfolk.settings import Settings

def die_at(message):
    if "similar_pairs:" in message:
        os.kill(os.getpid(), signal.SIGKILL)

run_job(JOB, Settings.model_validate_json(sys.argv[1]), note=die_at)
"""


def go(settings: Settings, spark: SparkSession) -> Outcome:
    return run_job(JOB, settings, spark=spark, run_date=date(2026, 1, 31))


def read_content(lake: str, table: Table) -> list[dict[str, Any]]:
    rows = Lake(lake).read(table, columns=table.content).to_pylist()
    return sorted(rows, key=lambda row: tuple(row[name] for name in table.key))


def read_versions(lake: str) -> dict[str, int]:
    return {table.name: Lake(lake).snapshot(table).version for table in JOB.writes if table is not JOIN_AUDITS}


def as_oracle(lake: str) -> OracleJoin:
    """The four tables in the oracle's shape."""
    return OracleJoin(
        pairs={(r["left_id"], r["right_id"]): r["similarity"] for r in read_content(lake, SIMILAR_PAIRS)},
        neighbors={
            (r["item_id"], r["rank"]): (r["neighbor_id"], r["similarity"]) for r in read_content(lake, ITEM_NEIGHBORS)
        },
        copies={r["item_id"]: r["representative_id"] for r in read_content(lake, ITEM_COPIES)},
        groups={r["item_id"]: r["group_id"] for r in read_content(lake, ITEM_GROUPS)},
    )


def assert_close(found: OracleJoin, expected: OracleJoin) -> None:
    assert found.pairs == pytest.approx(expected.pairs, abs=1e-12)
    similarities = {key: similarity for key, (_, similarity) in expected.neighbors.items()}
    assert {key: similarity for key, (_, similarity) in found.neighbors.items()} == pytest.approx(
        similarities, abs=1e-12
    )
    assert found.copies == expected.copies
    # A group's name is kept from night to night, so that only its members can be told from the pairs.
    assert find_members(found.groups) == find_members(expected.groups)


def find_members(groups: dict[str, str]) -> set[frozenset[str]]:
    return {frozenset(item for item in groups if groups[item] == name) for name in groups.values()}


def find_by_brute_force(embeddings: pa.Table, settings: Settings) -> OracleJoin:
    vectors = dict(zip(embeddings["item_id"].to_pylist(), embeddings["embedding"].to_pylist(), strict=True))
    return join_by_brute_force(vectors, settings=settings.similarity)


def test_the_tables_hold_what_brute_force_finds_and_follow_the_embeddings(
    spark: SparkSession, lake: str, make_settings: MakeSettings
) -> None:
    images, texts = make_embeddings(), make_embeddings(20, seed=1, modality="text")
    put_rows(lake, ITEM_EMBEDDINGS, pa.concat_tables([images, texts]))
    settings = make_settings(similarity=SECTION)
    go(settings, spark)
    expected = find_by_brute_force(images, settings)
    assert expected.copies
    assert_close(as_oracle(lake), expected)
    sizes = {row["item_id"]: row["group_size"] for row in read_content(lake, ITEM_GROUPS)}
    assert sizes == {item: list(expected.groups.values()).count(group) for item, group in expected.groups.items()}
    (audit,) = read_content(lake, JOIN_AUDITS)
    assert (audit["plan"], audit["recall"], audit["pairs"]) == ("exact", 1.0, len(expected.pairs))
    events = read_content(lake, GROUP_EVENTS)
    assert {event["event"] for event in events} == {"created"}
    assert {event["group_id"] for event in events} == set(expected.groups.values())
    first_groups = as_oracle(lake).groups

    versions = read_versions(lake)
    assert go(settings, spark).status == "skipped"
    run_job(JOB, settings, spark=spark, is_forced=True)
    assert read_versions(lake) == versions, "an equal result makes no commit"

    # One item goes, two become incomparable, and the threshold rises: most pairs disappear, and rightly so.
    gone, zero, short = sorted({left for left, _ in expected.pairs})[:3]
    rows = {row["item_id"]: row for row in images.to_pylist() if row["item_id"] != gone}
    rows[zero]["embedding"], rows[short]["embedding"] = [0.0] * 4, [1.0]
    put_rows(lake, ITEM_EMBEDDINGS, pa.Table.from_pylist(list(rows.values()), schema=images.schema))
    stricter = make_settings(similarity=SECTION | {"threshold": 0.97})
    go(stricter, spark)
    is_left = pc.is_in(images["item_id"], pa.array(sorted(rows.keys() - {zero, short})))
    assert_close(as_oracle(lake), find_by_brute_force(images.filter(is_left), stricter))
    # Told in words, the events of the night lead from the groups before to the groups after it.
    latest = Lake(lake).read(JOB_RUNS).sort_by("started_at").to_pylist()[-1]["run_id"]
    told = [event for event in read_content(lake, GROUP_EVENTS) if event["join_run_id"] == latest]
    assert told
    counts = {name: list(first_groups.values()).count(name) for name in first_groups.values()}
    for event in told:
        sign = -1 if event["event"] in ("shrunk", "dissolved") else 1
        counts[event["group_id"]] = counts.get(event["group_id"], 0) + sign * event["items"]
    groups = as_oracle(lake).groups
    assert {name: count for name, count in counts.items() if count} == {
        name: list(groups.values()).count(name) for name in groups.values()
    }
    rejected = {json.loads(row["row_key"])["item_id"]: row["reason"] for row in read_content(lake, REJECTED_ROWS)}
    assert rejected == {zero: "zero_vector", short: "wrong_length"}


def test_too_many_broken_vectors_write_nothing(spark: SparkSession, lake: str, make_settings: MakeSettings) -> None:
    rows = make_embeddings(20).to_pylist()
    rows[3]["embedding"] = [0.0] * 4
    put_rows(lake, ITEM_EMBEDDINGS, pa.Table.from_pylist(rows, schema=make_embeddings().schema))
    with pytest.raises(LossLimitError, match="1 of 20 rows would be rejected"):
        go(make_settings(similarity=SECTION, limits={"max_rejected_share": 0.04}), spark)
    store = Lake(lake)
    assert not any(store.snapshot(table).rows for table in JOB.writes if store.exists(table))


def test_a_modality_that_nobody_embedded_is_refused(
    spark: SparkSession, lake: str, make_settings: MakeSettings
) -> None:
    put_rows(lake, ITEM_EMBEDDINGS, make_embeddings(5))
    with pytest.raises(DataError, match="none of them of modality text"):
        go(make_settings(similarity={"modality": "text"}), spark)


def test_items_are_told_apart_by_a_column_of_clean_items(
    spark: SparkSession, lake: str, make_settings: MakeSettings
) -> None:
    embeddings = make_embeddings()
    # The last item is not among the clean ones, and the one before it has no label.
    labels = {item: f"label{n % 3}" for n, item in enumerate(embeddings["item_id"].to_pylist()[:-2])}
    put_rows(lake, ITEM_EMBEDDINGS, embeddings)
    put_rows(lake, CLEAN_ITEMS, make_clean_items({**labels, "item058": None}))
    # No group is cut: the oracle cuts none.
    section = SECTION | {"blocking": "label", "groups": {"max_hops": 20}}
    settings = make_settings(similarity=section, limits={"max_rejected_share": 0.1})
    go(settings, spark)
    parts = [
        find_by_brute_force(
            embeddings.filter(pc.is_in(embeddings["item_id"], pa.array([i for i in labels if labels[i] == label]))),
            settings,
        )
        for label in set(labels.values())
    ]
    expected = OracleJoin(
        pairs={pair: s for part in parts for pair, s in part.pairs.items()},
        neighbors={key: found for part in parts for key, found in part.neighbors.items()},
        copies={item: first for part in parts for item, first in part.copies.items()},
        groups={item: f"{n} {group}" for n, part in enumerate(parts) for item, group in part.groups.items()},
    )
    assert expected.copies
    assert_close(as_oracle(lake), expected)
    rejected = {json.loads(row["row_key"])["item_id"]: row["reason"] for row in read_content(lake, REJECTED_ROWS)}
    assert rejected == {"item058": "missing_block", "item059": "missing_block"}


def test_a_column_that_clean_items_has_not_is_refused(
    spark: SparkSession, lake: str, make_settings: MakeSettings
) -> None:
    put_rows(lake, ITEM_EMBEDDINGS, make_embeddings(5))
    with pytest.raises(SettingsError, match="blocking is brand; items are told apart by subject_id, variant, label"):
        go(make_settings(similarity={"blocking": "brand"}), spark)


def test_too_many_pairs_write_nothing(spark: SparkSession, lake: str, make_settings: MakeSettings) -> None:
    put_rows(lake, ITEM_EMBEDDINGS, make_embeddings())
    with pytest.raises(DataError, match="max_pairs"):
        go(make_settings(similarity={"threshold": 0.1, "max_pairs": 10}), spark)
    assert not any(Lake(lake).exists(table) for table in JOB.writes)


def test_killed_in_a_later_night_the_next_one_goes_on_from_the_last_that_ended(
    spark: SparkSession, lake: str, make_settings: MakeSettings
) -> None:
    settings = make_settings(similarity=SECTION, spark={"shuffle_partitions": 2})
    first = make_embeddings(200)
    put_rows(lake, ITEM_EMBEDDINGS, first)
    go(settings, spark)
    pairs = sorted(as_oracle(lake).pairs)
    # What the killed run does to these items the next night undoes, so that only the last good run tells the truth.
    put_rows(lake, ITEM_EMBEDDINGS, with_vectors(first, {pairs[0][0]: [0.0, 9.0, 1.0, 0.0], pairs[-1][1]: [1.0] * 4}))
    command = [sys.executable, "-c", JOIN_AND_DIE, settings.model_dump_json()]
    killed = subprocess.run(
        command, check=False, timeout=300, env=os.environ | {"PYSPARK_SUBMIT_ARGS": "pyspark-shell"}
    )
    assert killed.returncode == -signal.SIGKILL
    assert sorted(as_oracle(lake).pairs) != pairs, "killed after the pairs were written"
    tonight = with_vectors(first, {pairs[-2][0]: [5.0, 1.0, 0.0, 2.0]})
    put_rows(lake, ITEM_EMBEDDINGS, tonight)
    assert go(settings, spark).status == "succeeded"
    assert_close(as_oracle(lake), find_by_brute_force(tonight, settings))
    records = Lake(lake).read(JOB_RUNS).sort_by("started_at").to_pylist()
    assert [record["status"] for record in records] == ["succeeded", "running", "succeeded"]
    audits = {audit["join_run_id"]: audit for audit in read_content(lake, JOIN_AUDITS)}
    assert audits[records[0]["run_id"]]["compared"] == audits[records[0]["run_id"]]["distinct"]
    assert 1 <= audits[records[2]["run_id"]]["compared"] < 40


def with_vectors(embeddings: pa.Table, vectors: dict[str, list[float]]) -> pa.Table:
    """The same embeddings with other vectors of some items."""
    rows = [row | {"embedding": vectors.get(row["item_id"], row["embedding"])} for row in embeddings.to_pylist()]
    return pa.Table.from_pylist(rows, schema=embeddings.schema)
