"""The whole join job: the tables it leaves, also after a kill, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from tiny_items import make_embeddings, put_rows

from kinfolk.errors import DataError, LossLimitError
from kinfolk.jobs.join import JOB
from kinfolk.run import Outcome, run_job
from kinfolk.settings import Settings
from kinfolk.similarity.oracle import OracleJoin, join_by_brute_force
from kinfolk.tables.catalog import (
    ITEM_COPIES,
    ITEM_EMBEDDINGS,
    ITEM_GROUPS,
    ITEM_NEIGHBORS,
    JOB_RUNS,
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


def read_all(lake: str) -> list[dict[str, Any]]:
    return [row for table in JOB.writes for row in read_content(lake, table)]


def read_versions(lake: str) -> dict[str, int]:
    return {table.name: Lake(lake).snapshot(table).version for table in JOB.writes}


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
    assert (found.copies, found.groups) == (expected.copies, expected.groups)


def test_the_tables_hold_what_brute_force_finds_and_change_only_with_it(
    spark: SparkSession, lake: str, make_settings: MakeSettings
) -> None:
    images, texts = make_embeddings(), make_embeddings(20, seed=1, modality="text")
    put_rows(lake, ITEM_EMBEDDINGS, pa.concat_tables([images, texts]))
    settings = make_settings(similarity=SECTION)
    assert go(settings, spark).status == "succeeded"
    vectors = dict(zip(images["item_id"].to_pylist(), images["embedding"].to_pylist(), strict=True))
    expected = join_by_brute_force(vectors, settings=settings.similarity)
    assert expected.copies
    assert expected.pairs
    assert_close(as_oracle(lake), expected)
    sizes = {row["item_id"]: row["group_size"] for row in read_content(lake, ITEM_GROUPS)}
    assert sizes == {item: list(expected.groups.values()).count(group) for item, group in expected.groups.items()}

    versions = read_versions(lake)
    assert go(settings, spark).status == "skipped"
    assert run_job(JOB, settings, spark=spark, is_forced=True).status == "succeeded"
    assert read_versions(lake) == versions
    assert go(make_settings(similarity=SECTION | {"threshold": 0.999}), spark).status == "succeeded"
    changed = {name for name, version in read_versions(lake).items() if version != versions[name]}
    assert changed == {"similar_pairs", "item_groups"}


def test_items_that_are_gone_or_broken_leave_every_table(
    spark: SparkSession, lake: str, make_settings: MakeSettings
) -> None:
    settings = make_settings(similarity=SECTION)
    put_rows(lake, ITEM_EMBEDDINGS, make_embeddings(40))
    go(settings, spark)
    gone, zero, short = sorted({row["left_id"] for row in read_content(lake, SIMILAR_PAIRS)})[:3]
    rows = {row["item_id"]: row for row in make_embeddings(40).to_pylist() if row["item_id"] != gone}
    rows[zero]["embedding"], rows[short]["embedding"] = [0.0] * 4, [1.0]
    put_rows(lake, ITEM_EMBEDDINGS, pa.Table.from_pylist(list(rows.values()), schema=make_embeddings().schema))
    with pytest.raises(LossLimitError, match="2 of 39 rows would be rejected"):
        go(make_settings(similarity=SECTION, limits={"max_rejected_share": 0.05}), spark)
    go(settings, spark)
    assert not {gone, zero, short} & {value for row in read_all(lake) for value in row.values()}
    rejected = {json.loads(row["row_key"])["item_id"]: row["reason"] for row in read_content(lake, REJECTED_ROWS)}
    assert rejected == {zero: "zero_vector", short: "wrong_length"}


def test_a_modality_that_nobody_embedded_is_refused(
    spark: SparkSession, lake: str, make_settings: MakeSettings
) -> None:
    put_rows(lake, ITEM_EMBEDDINGS, make_embeddings(5))
    with pytest.raises(DataError, match="none of them of modality text"):
        go(make_settings(similarity={"modality": "text"}), spark)


def test_too_many_pairs_write_nothing(spark: SparkSession, lake: str, make_settings: MakeSettings) -> None:
    put_rows(lake, ITEM_EMBEDDINGS, make_embeddings())
    with pytest.raises(DataError, match="max_pairs"):
        go(make_settings(similarity={"threshold": 0.1, "max_pairs": 10}), spark)
    assert not any(Lake(lake).exists(table) for table in JOB.writes)


def test_killed_half_way_and_run_again_ends_like_one_clean_run(
    spark: SparkSession, lake: str, make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_settings(similarity=SECTION, spark={"shuffle_partitions": 2})
    put_rows(lake, ITEM_EMBEDDINGS, make_embeddings())
    command = [sys.executable, "-c", JOIN_AND_DIE, settings.model_dump_json()]
    killed = subprocess.run(
        command, check=False, timeout=300, env=os.environ | {"PYSPARK_SUBMIT_ARGS": "pyspark-shell"}
    )
    assert killed.returncode == -signal.SIGKILL
    store = Lake(lake)
    assert store.snapshot(SIMILAR_PAIRS).rows > 0, "killed after the second table"
    assert not store.exists(ITEM_GROUPS)
    assert go(settings, spark).status == "succeeded"

    clean = str(tmp_path / "clean")
    put_rows(clean, ITEM_EMBEDDINGS, make_embeddings())
    go(Settings.model_validate(settings.model_dump() | {"lake": {"root": clean}}), spark)
    assert read_all(lake) == read_all(clean)
    (record,) = store.read(JOB_RUNS).to_pylist()
    assert (record["status"], record["attempt"]) == ("succeeded", 2)
