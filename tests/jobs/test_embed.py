"""The whole embed job: what it writes, follows and refuses, and what a kill leaves."""

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

import numpy as np
import pyarrow as pa
import pytest
from tiny_items import TOKENS, make_features, make_vocabulary, promote_tiny_encoder, put_rows

from kinfolk.errors import DataError, LossLimitError
from kinfolk.jobs.embed import JOB
from kinfolk.run import Outcome, run_job
from kinfolk.settings import Settings
from kinfolk.tables.catalog import ITEM_EMBEDDINGS, ITEM_FEATURES, JOB_RUNS, REJECTED_ROWS, TEXT_VOCABULARY
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Rows = dict[tuple[str, str], dict[str, Any]]

EMBED_AND_DIE = """
import os, signal, sys
from kinfolk.jobs.embed import JOB
from kinfolk.run import run_job
from kinfolk.settings import Settings
from kinfolk.tables.lake import Lake

Lake.sync_rows = lambda *arguments, **named: os.kill(os.getpid(), signal.SIGKILL)
run_job(JOB, Settings.model_validate_json(sys.argv[1]))
"""


@pytest.fixture
def settings(make_settings: Callable[..., Settings], tmp_path: Path) -> Settings:
    """A lake of 40 items, and a promoted encoder."""
    settings = make_settings(embedding={"batch_size": 16}, spark={"shuffle_partitions": 2})
    fill_lake(settings, tmp_path / "encoder")
    return settings


def fill_lake(settings: Settings, encoder: Path) -> None:
    put_rows(settings.lake.root, ITEM_FEATURES, make_features())
    put_rows(settings.lake.root, TEXT_VOCABULARY, make_vocabulary())
    promote_tiny_encoder(settings, encoder)


def go(settings: Settings, spark: SparkSession) -> Outcome:
    return run_job(JOB, settings, spark=spark, run_date=date(2026, 1, 31))


def read_rows(settings: Settings) -> Rows:
    rows = Lake(settings.lake.root).read(ITEM_EMBEDDINGS).to_pylist()
    return {(row["item_id"], row["modality"]): row for row in rows}


def test_the_table_follows_items_and_encoder(spark: SparkSession, settings: Settings, tmp_path: Path) -> None:
    features = make_features()
    first = go(settings, spark)
    before = read_rows(settings)
    present = {("image", "image"), ("text_tokens", "text")}
    assert before.keys() == {
        (row["item_id"], modality)
        for row in features.to_pylist()
        for column, modality in present
        if row[column] is not None
    }
    lengths = [np.linalg.norm(row["embedding"]) for row in before.values()]
    np.testing.assert_allclose(lengths, 1, atol=1e-6)
    source = Lake(settings.lake.root).snapshot(ITEM_FEATURES).version
    provenance = {(r["model_name"], r["model_version"], r["source_version"], r["run_id"]) for r in before.values()}
    assert provenance == {("kinfolk-encoder", "1", source, first.run_id)}
    assert go(settings, spark).status == "skipped"

    # The first item goes; the others, now in other batches, stay as they are to the last bit.
    put_rows(settings.lake.root, ITEM_FEATURES, features.slice(1))
    go(settings, spark)
    without_first = {key: row for key, row in before.items() if key[0] != "item000"}
    assert len(without_first) == len(before) - 2
    assert read_rows(settings) == without_first

    promote_tiny_encoder(settings, tmp_path / "another", seed=1)
    go(settings, spark)
    after = read_rows(settings)
    assert after.keys() == without_first.keys()
    assert {row["model_version"] for row in after.values()} == {"2"}
    assert all(row["embedding"] != before[key]["embedding"] for key, row in after.items())


def test_poison_rows_are_turned_away_each_with_its_reason(
    spark: SparkSession, lake: str, settings: Settings, make_settings: Callable[..., Settings]
) -> None:
    rows = make_features().to_pylist()
    rows[0]["image"], rows[0]["text_tokens"], rows[1]["text_tokens"] = b"broken", [len(TOKENS) + 1], []
    put_rows(lake, ITEM_FEATURES, pa.Table.from_pylist(rows, schema=make_features().schema))
    go(settings, spark)
    rejected = {}
    for row in Lake(lake).read(REJECTED_ROWS).to_pylist():
        key = json.loads(row["row_key"])
        rejected[key["item_id"], key["modality"]] = row["reason"]
    assert rejected == {
        ("item000", "image"): "wrong_picture_size",
        ("item000", "text"): "token_out_of_range",
        ("item001", "text"): "no_known_token",
    }
    assert read_rows(settings).keys().isdisjoint(rejected)
    with pytest.raises(LossLimitError, match="3 of 68 rows would be rejected"):
        go(make_settings(embedding={"batch_size": 8}, limits={"max_rejected_share": 0.01}), spark)


def test_a_vocabulary_fitted_again_stops_texts_but_not_pictures(
    spark: SparkSession, lake: str, settings: Settings, make_settings: Callable[..., Settings]
) -> None:
    put_rows(lake, TEXT_VOCABULARY, make_vocabulary(TOKENS[::-1]))
    with pytest.raises(DataError, match=r"another vocabulary.*Run train"):
        go(settings, spark)
    assert not Lake(lake).exists(ITEM_EMBEDDINGS)
    go(make_settings(embedding={"modalities": ["image"]}), spark)
    assert {modality for _, modality in read_rows(settings)} == {"image"}


def test_killed_before_its_commit_and_run_again_ends_like_one_clean_run(
    spark: SparkSession, lake: str, settings: Settings, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", EMBED_AND_DIE, settings.model_dump_json()]
    killed = subprocess.run(
        command, check=False, timeout=300, env=os.environ | {"PYSPARK_SUBMIT_ARGS": "pyspark-shell"}
    )
    assert killed.returncode == -signal.SIGKILL
    store = Lake(lake)
    assert store.snapshot(ITEM_EMBEDDINGS).rows == 0
    assert go(settings, spark).status == "succeeded"
    (record,) = store.read(JOB_RUNS).to_pylist()
    assert (record["status"], record["attempt"]) == ("succeeded", 2)

    clean = make_settings(lake={"root": str(tmp_path / "clean")}, embedding={"batch_size": 16})
    fill_lake(clean, tmp_path / "clean_encoder")
    go(clean, spark)
    found, expected = read_rows(settings), read_rows(clean)
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        np.testing.assert_allclose(found[key]["embedding"], row["embedding"], atol=1e-6)
