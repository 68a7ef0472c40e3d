"""Nights: what a join finds from what changed is what it would find from everything."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kinfolk.settings import JoinSettings
from kinfolk.similarity.incremental import JoinState
from kinfolk.similarity.join import JoinResult, similar_pairs
from kinfolk.similarity.task import Report, join_all

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Items = Mapping[str, Sequence[float] | Sequence[int] | None]
Found = dict[str, dict[tuple[str, ...], tuple[object, ...]]]

KEYS = {
    "pairs": ("left_id", "right_id"),
    "neighbors": ("item_id", "rank"),
    "copies": ("side", "item_id"),
    "rejected": ("side", "item_id"),
}


def as_table(items: Items, column: str) -> pa.Table:
    kind = pa.list_(pa.float32() if column == "embedding" else pa.int64())
    return pa.table({"item_id": pa.array(items, pa.string()), column: pa.array(items.values(), kind)})


def as_frame(spark: SparkSession, items: Items, column: str = "embedding") -> DataFrame:
    return spark.createDataFrame(as_table(items, column))


def tell(tables: Mapping[str, pa.Table]) -> Found:
    """Rows by their keys, each of which has to come once."""
    told: Found = {}
    for name, key in KEYS.items():
        rows = tables[name].to_pylist()
        told[name] = {tuple(row.pop(column) for column in key): tuple(row.values()) for row in rows}
        assert len(told[name]) == len(rows)
    return told


def tell_tables(result: JoinResult) -> Found:
    return tell({name: getattr(result, name).toArrow() for name in KEYS})


def join_everything(tables: Sequence[pa.Table], settings: JoinSettings) -> tuple[Found, Report]:
    """Join in memory, without Spark and without a state."""
    rows = pa.concat_tables(
        pa.table([pa.array([bool(side)] * len(table)), *table.columns], ["is_right", "item_id", "value"])
        for side, table in enumerate(tables)
    )
    with tempfile.TemporaryDirectory() as folder:
        report = join_all(
            lambda: rows, settings, is_self_join=len(tables) == 1, threads=1, scratch=folder, tell=lambda _: None
        )
        return tell({name: pq.read_table(report.files[name]) for name in KEYS}), report


class Nights:
    """Joins night after night, each from the state of the one before."""

    def __init__(self, spark: SparkSession, settings: JoinSettings, column: str = "embedding") -> None:
        self._spark, self._settings, self._column = spark, settings, column
        self._state: JoinState | None = None

    def join(self, *sides: Items) -> int:
        """Join, compare the result with a join of everything, and say how many items were compared anew."""
        expected, report = join_everything([as_table(side, self._column) for side in sides], self._settings)
        frames = [as_frame(self._spark, side, self._column) for side in sides]
        with closing(similar_pairs(*frames, settings=self._settings, previous=self._state)) as tonight:
            tables = {name: getattr(tonight, name).toArrow() for name in KEYS}
            digests, audit = tonight.state.digests.toArrow(), tonight.audit
        assert tell(tables) == expected
        assert (audit.left, audit.right) == (report.left, report.right)
        assert (audit.pairs, audit.neighbors) == (len(expected["pairs"]), len(expected["neighbors"]))
        left = (digests, tables["pairs"], tables["neighbors"])
        self._state = JoinState(*(self._spark.createDataFrame(table) for table in left))
        return audit.compared


def draw_vectors(count: int, seed: int) -> dict[str, list[float] | None]:
    """Small whole vectors: copies, ties, and zeros that are rejected."""
    rows = np.random.default_rng(seed).integers(-1, 2, size=(count, 4)).astype(float)
    return {f"item{place:03d}": row.tolist() for place, row in enumerate(rows)}


@pytest.mark.parametrize(("measure", "threshold", "one_task_rows"), [("cosine", 0.9, None), ("euclidean", 1.0, 0)])
def test_nights_find_what_a_join_of_everything_finds(
    spark: SparkSession, measure: str, threshold: float, one_task_rows: int | None
) -> None:
    settings = JoinSettings(measure=measure, threshold=threshold, neighbors=2, one_task_rows=one_task_rows)
    items = draw_vectors(400, seed=1) | {f"lone{i}": [10.0 * i, 1.0, i * i, -3.0] for i in range(1, 140)}
    nights = Nights(spark, settings)
    distinct = nights.join(items)
    representative = next(name for name, row in items.items() if list(items.values()).count(row) > 2)
    # A representative goes, so that a copy takes its place; one is altered, one comes, one cannot be compared.
    del items[representative]
    items |= {"lone3": [1.0, 2.0, 3.0, 4.0], "new": [9.0, 1.0, 2.0, 4.0], "lone5": None}
    assert 0 < nights.join(items) < distinct / 3
    # The item comes back as a copy of one that sorts behind it; the altered one becomes a copy; another one goes.
    items |= {representative: items["lone7"], "lone3": items["lone8"]}
    del items["lone20"]
    assert 0 < nights.join(items) < distinct / 3
    assert nights.join(items) == 0, "nothing changed"


def test_nights_of_sets_and_of_pairs_alone(spark: SparkSession) -> None:
    random = np.random.default_rng(4)
    items: dict[str, Sequence[int] | None] = {
        f"{place:03d}": (random.integers(0, 6, 3) + 8 * (place // 4)).tolist() for place in range(300)
    }
    wanted = {"measure": "jaccard", "threshold": 0.5, "plan": "prefix"}
    changed = {name: row for name, row in items.items() if name != "040"}
    changed |= {"010": [1, 2, 3], "new": items["020"], "other": [80, 81], "030": []}
    for neighbors in (3, 0):
        nights = Nights(spark, JoinSettings(neighbors=neighbors, **wanted), column="tokens")
        nights.join(items)
        assert 0 < nights.join(changed) < 60


def test_nights_of_two_tables(spark: SparkSession) -> None:
    items = {name: row for name, row in draw_vectors(500, seed=2).items() if any(row or [])}
    left, right = dict(list(items.items())[:200]), {f"b{name}": row for name, row in list(items.items())[150:]}
    right |= {f"far{i}": [float(i), i * i, 2.0, -i] for i in range(60)}
    nights = Nights(spark, JoinSettings(threshold=0.95, neighbors=1))
    nights.join(left, right)
    right |= {"bnew": [3.0, 1.0, 0.0, 2.0], "far7": [1.0, 5.0, 2.0, 2.0]}
    del right["far9"]
    left |= {"new": [3.0, 1.0, 0.0, 2.0]}
    assert 0 < nights.join(left, right) < 40


def test_other_settings_or_many_changes_compare_everything(spark: SparkSession) -> None:
    items = {name: row for name, row in draw_vectors(120, seed=5).items() if any(row or [])}
    frame = as_frame(spark, items)
    with closing(similar_pairs(frame, settings=JoinSettings(neighbors=2))) as first:
        distinct = first.audit.left.distinct
        for settings, compared in (
            (JoinSettings(neighbors=2, threads=1, max_pairs=10_000), 0),
            (JoinSettings(neighbors=3), distinct),
            (JoinSettings(neighbors=2, threshold=0.8), distinct),
        ):
            with closing(similar_pairs(frame, settings=settings, previous=first.state)) as later:
                assert later.audit.compared == compared
        changed = as_frame(spark, items | {name: [5.0, i, 1.0, 2.0] for i, name in enumerate(list(items)[:40])})
        with closing(similar_pairs(changed, settings=JoinSettings(neighbors=2), previous=first.state)) as later:
            assert later.audit.compared == later.audit.left.distinct


def test_what_was_found_below_full_recall_is_measured_anew(spark: SparkSession) -> None:
    """Pairs that an earlier night missed stay missed, and the audit of tonight says so."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((60, 8))[random.integers(0, 60, 1500)] + random.standard_normal((1500, 8)) * 0.3
    items = {f"{place:04d}": row.tolist() for place, row in enumerate(rows.astype(np.float32))}
    settings = JoinSettings(threshold=0.9, neighbors=0, recall=0.9, probes=1000)
    with closing(similar_pairs(as_frame(spark, items), settings=settings)) as first:
        assert first.audit.is_exact
        some = first.pairs.where("hash(left_id) % 5 <> 0")
        state = JoinState(first.state.digests, some, first.state.neighbors)
        items["0000"] = items["0001"][::-1]
        with closing(similar_pairs(as_frame(spark, items), settings=settings, previous=state)) as later:
            assert later.audit.compared == 1
            assert later.audit.recall.probes == 1000
            missed = first.pairs.count() - some.count()
            assert later.audit.recall.value == pytest.approx(1 - missed / first.pairs.count(), abs=0.05)


def test_an_item_that_changes_its_block_is_compared_and_the_others_are_not(spark: SparkSession) -> None:
    settings = JoinSettings(threshold=0.95, neighbors=0, blocking="kind")
    items = {name: row for name, row in draw_vectors(120, seed=6).items() if any(row or [])}
    kinds = {name: f"kind {place % 4}" for place, name in enumerate(items)}

    def join(previous: JoinState | None) -> JoinResult:
        table = as_table(items, "embedding").append_column("kind", pa.array([kinds[name] for name in items]))
        return similar_pairs(spark.createDataFrame(table), settings=settings, previous=previous)

    with closing(join(None)) as first:
        # A new block, whose name sorts before the others.
        kinds[list(items)[5]], kinds[list(items)[7]] = "kind 2", "a kind"
        with closing(join(first.state)) as later, closing(join(None)) as whole:
            assert tell_tables(later) == tell_tables(whole)
            assert 1 <= later.audit.compared <= 4
