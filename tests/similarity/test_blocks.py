"""Joins within blocks: what brute force finds in each block by itself, whatever the sizes of blocks."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from kinfolk.errors import DataError
from kinfolk.settings import JoinSettings, TokenSettings
from kinfolk.similarity.cluster import TASKS_A_CORE
from kinfolk.similarity.forecast import Forecast
from kinfolk.similarity.join import similar_pairs
from kinfolk.similarity.oracle import join_by_brute_force, join_sets_by_brute_force
from kinfolk.similarity.recall import measure_recall
from kinfolk.similarity.task import Prepared, prepare_join
from kinfolk.similarity.vectors import blocks
from kinfolk.similarity.vectors.scan import Scan

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Side = dict[str, tuple[Any, str]]
"""What is compared of each item, and its block."""


def as_rows(left: Side, right: Side | None, kind: pa.DataType) -> pa.Table:
    rows = [(False, item, *row) for item, row in left.items()] + [(True, i, *r) for i, r in (right or {}).items()]
    rows = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]
    kinds = {"is_right": pa.bool_(), "item_id": pa.string(), "value": kind, "block": pa.string()}
    return pa.table({name: pa.array([row[n] for row in rows], kinds[name]) for n, name in enumerate(kinds)})


def prepare(left: Side, right: Side | None, wanted: JoinSettings, kind: pa.DataType, *, shares: int = 1) -> Prepared:
    return prepare_join(as_rows(left, right, kind), wanted, is_self_join=right is None, threads=2, is_shared=shares > 1)


def find(prepared: Prepared, shares: int = 1) -> tuple[dict[Any, float], dict[Any, Any]]:
    """Pairs and neighbours by their ids."""
    ids, base_ids = prepared.left.items.ids.to_pylist(), prepared.base.items.ids.to_pylist()
    pairs: list[Any] = []
    near: list[Any] = []
    for share in range(shares):
        found, neighbors = prepared.join.find((share, shares), threads=2)
        columns = found.left_P.tolist(), found.right_P.tolist(), found.similarity_P.tolist()
        pairs += [((ids[a], base_ids[b]), s) for a, b, s in zip(*columns, strict=True)]
        assert (np.diff(neighbors.row_N) > 0).all(), "rows in order"
        for row, codes, similarities in zip(neighbors.row_N, neighbors.code_NK, neighbors.similarity_NK, strict=True):
            places = [(code, s) for code, s in zip(codes, similarities, strict=True) if code >= 0]
            near += [((ids[row], rank), (base_ids[code], s)) for rank, (code, s) in enumerate(places, start=1)]
    assert len(dict(pairs)) == len(pairs), "each pair once"
    assert len(dict(near)) == len(near), "each row in one share"
    return dict(pairs), dict(near)


def split(side: Side) -> dict[str, dict[str, Any]]:
    """Each block's items."""
    return {name: {item: value for item, (value, block) in side.items() if block == name} for _, name in side.values()}


def make_vectors(sizes: list[int], *, seed: int, prefix: str = "item") -> Side:
    """Small whole vectors: copies, ties and opposite ones, in blocks of these sizes, whose ids are mixed."""
    random = np.random.default_rng(seed)
    names = random.permutation(np.repeat([f"block{n}" for n in range(len(sizes))], sizes))
    rows = random.integers(-2, 3, size=(len(names), 3)).astype(float)
    rows[~rows.any(axis=1), 0] = 1
    return {
        f"{prefix}{n:04d}": (row.tolist(), str(name)) for n, (row, name) in enumerate(zip(rows, names, strict=True))
    }


def make_crowds(sizes: list[int], *, crowds: int, width: float, is_cross: bool) -> tuple[Side, Side | None]:
    """One side, or two, of vectors around so many centers, in blocks of these sizes, whatever their centers."""
    random = np.random.default_rng(0)
    centers, count = random.standard_normal((crowds, 12)), sum(sizes)

    def make_side(prefix: str) -> Side:
        rows = centers[random.integers(0, crowds, count)] + random.standard_normal((count, 12)) * width
        names = random.permutation(np.repeat([f"block{n}" for n in range(len(sizes))], sizes))
        return {
            f"{prefix}{n:05d}": (row, str(name)) for n, (row, name) in enumerate(zip(rows.tolist(), names, strict=True))
        }

    return make_side("item"), make_side("other") if is_cross else None


@pytest.mark.parametrize("shares", [1, 3])
@pytest.mark.parametrize("is_cross", [False, True])
@pytest.mark.parametrize(("measure", "threshold"), [("cosine", 0.8), ("euclidean", 1.5), ("inner_product", 2.0)])
def test_vectors_are_joined_as_each_block_would_be(measure: Any, threshold: float, is_cross: bool, shares: int) -> None:
    left = make_vectors([150, 1, 2, 3, *[4] * 40, 130, 5], seed=1)
    right = make_vectors([100, 0, 2, *[3] * 60], seed=2, prefix="other") if is_cross else None
    # Tiles of the least size: the larger blocks lie in several, the smaller ones share them.
    wanted = JoinSettings(measure=measure, threshold=threshold, neighbors=4, blocking="brand", block_rows=16)
    prepared = prepare(left, right, wanted, pa.list_(pa.float32()), shares=shares)
    pairs, neighbors, copies = {}, {}, {}
    for name, vectors in split(left).items():
        others = None if right is None else split(right).get(name, {})
        expected = join_by_brute_force(vectors, others, settings=wanted)
        pairs |= expected.pairs
        neighbors |= expected.neighbors
        copies |= expected.copies
    assert len(pairs) > 500
    assert len(copies) > 100
    assert find(prepared, shares) == (pairs, neighbors)
    assert (prepared.join.plan, prepared.join.is_exact) == ("exact", True)
    told = prepared.left.copies
    assert dict(zip(told["item_id"].to_pylist(), told["representative_id"].to_pylist(), strict=True)) == copies


@pytest.mark.parametrize("plan", ["prefix", "minhash"])
@pytest.mark.parametrize("kind", [pa.string(), pa.list_(pa.int64())])
@pytest.mark.parametrize("is_cross", [False, True])
def test_sets_are_joined_as_each_block_would_be(plan: Any, kind: pa.DataType, is_cross: bool) -> None:
    random = np.random.default_rng(3)

    def make_side(count: int, prefix: str) -> Side:
        sets = [sorted({int(n) for n in random.integers(0, 12, random.integers(2, 9))}) for _ in range(count)]
        values = [" ".join(map(str, tokens)) if kind == pa.string() else tokens for tokens in sets]
        return {
            f"{prefix}{n:03d}": (value, f"block{random.integers(0, 12) ** 2 // 12}") for n, value in enumerate(values)
        }

    left, right = make_side(250, "item"), make_side(180, "other") if is_cross else None
    wanted = JoinSettings(
        measure="jaccard",
        threshold=0.5,
        neighbors=3,
        blocking="brand",
        plan=plan,
        recall=1 - 1e-9,
        tokens=TokenSettings(length=1),
    )
    prepared = prepare(left, right, wanted, kind)
    kept, kept_base = set(prepared.left.items.ids.to_pylist()), set(prepared.base.items.ids.to_pylist())
    pairs, neighbors = {}, {}
    for name, values in split(left).items():
        others = None if right is None else split(right).get(name, {})
        ids = sorted(kept & values.keys())
        base_ids = ids if others is None else sorted(kept_base & others.keys())
        sets = [tokens_of(values[item]) for item in ids]
        base = None if others is None else [tokens_of(others[item]) for item in base_ids]
        found, near = join_sets_by_brute_force(sets, base, settings=wanted)
        pairs |= {(ids[a], base_ids[b]): s for (a, b), s in found.items()}
        neighbors |= {
            (ids[row], rank): (base_ids[code], s)
            for row, places in enumerate(near)
            for rank, (code, s) in enumerate(places, start=1)
        }
        assert len({frozenset(tokens) for tokens in sets}) == len(sets), "no copies are left in a block"
        assert {frozenset(tokens_of(value)) for value in values.values()} == {frozenset(tokens) for tokens in sets}
    assert len(pairs) > 300
    assert find(prepared, 2) == (pairs, neighbors)


def tokens_of(value: Any) -> set[object]:
    return set(value.split()) if isinstance(value, str) else set(value)


@pytest.mark.parametrize("shares", [1, 3])
@pytest.mark.parametrize("is_cross", [False, True])
def test_large_blocks_have_plans_of_their_own(monkeypatch: pytest.MonkeyPatch, is_cross: bool, shares: int) -> None:
    """Two large blocks by cells, a hundred small ones exactly; the recall is that of all together."""
    monkeypatch.setattr(blocks, "FEWEST_ROWS", 500)
    left, right = make_crowds([2000, 1000, *[4] * 100], crowds=120, width=0.3, is_cross=is_cross)
    wanted = JoinSettings(threshold=0.9, neighbors=5, recall=0.9, plan="cells", probes=400, blocking="brand")
    exact = wanted.model_copy(update={"plan": "exact"})
    kind = pa.list_(pa.float32())
    truth, _ = find(prepare(left, right, exact, kind))
    prepared = prepare(left, right, wanted, kind, shares=shares)
    assert (prepared.join.plan, prepared.join.is_exact) == ("cells, exact", False)
    pairs, _ = find(prepared, shares)
    assert pairs.items() <= truth.items()
    assert 0.9 < len(pairs) / len(truth) < 1
    sides = left, right or left
    names = np.array([sides[0][a][1] for a, b in truth]), np.array([sides[1][b][1] for a, b in truth])
    assert (names[0] == names[1]).all()
    is_small = ~np.isin(names[0], ["block0", "block1"])
    assert {pair for pair, small in zip(truth, is_small, strict=True) if small} <= pairs.keys()
    whole, neighbors = prepared.join.find(threads=2)
    everyone = np.arange(len(left))
    recall = measure_recall(
        prepared.join.probe(everyone, threads=2), whole, neighbors, is_self_join=not is_cross, population=len(left)
    )
    assert 0.88 < recall.value < 1


def test_small_blocks_take_small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five thousand blocks of four rows: no row is multiplied with more than a few hundred others."""
    entries = []
    take = Scan.take
    monkeypatch.setattr(
        Scan,
        "take",
        lambda scan, query_Q, base, **more: (
            entries.append(len(query_Q) * len(base)) or take(scan, query_Q, base, **more)
        ),
    )
    rows = np.random.default_rng(0).integers(-3, 4, (20_000, 6)).astype(float)
    rows[:, 0] += 5
    side = {f"{n:05d}": (row.tolist(), str(n // 4)) for n, row in enumerate(rows)}
    wanted = JoinSettings(threshold=0.9, neighbors=2, blocking="brand")
    prepared = prepare(side, None, wanted, pa.list_(pa.float32()))
    pairs, _ = prepared.join.find(threads=1)
    assert len(pairs) > 500
    assert sum(entries) < 20_000 * 3 * 128


@pytest.mark.parametrize("recall", [1.0, 0.9])
@pytest.mark.parametrize("is_cross", [False, True])
def test_a_join_within_blocks_is_forecast(monkeypatch: pytest.MonkeyPatch, is_cross: bool, recall: float) -> None:
    """One large block, which below full recall has a plan of its own, some middling ones and a thousand small ones."""
    monkeypatch.setattr(blocks, "FEWEST_ROWS", 3000)
    left, right = make_crowds([4000, *[500] * 8, *[4] * 1000], crowds=200, width=0.4, is_cross=is_cross)
    wanted = JoinSettings(threshold=0.9, neighbors=3, recall=recall, plan="auto", probes=400, blocking="brand")
    kind = pa.list_(pa.float32())
    exactly, _ = prepare(left, right, wanted.model_copy(update={"recall": 1.0}), kind).join.find(threads=2)

    def forecast(wanted: JoinSettings) -> Forecast:
        rows = as_rows(left, right, kind)
        options = {"is_self_join": right is None, "threads": 2, "is_shared": False, "is_forecast_needed": True}
        (told,) = prepare_join(rows, wanted, **options).join.forecasts
        return told

    told = forecast(wanted)
    assert told.pairs is not None
    assert told.seconds is not None
    assert told.memory is not None
    assert told.pairs.low < len(exactly) < told.pairs.high
    assert told.pairs.high < 3 * told.pairs.low
    assert told.neighbors >= 12_000 * 3
    assert 0 < told.seconds < 20
    assert told.memory.bytes > 12_000 * 12 * 4 * 3
    with pytest.raises(DataError, match=r"pairs are expected .* similarity\.max_pairs allows 100\."):
        forecast(wanted.model_copy(update={"max_pairs": 100}))


@pytest.mark.parametrize("one_task_rows", [None, 0])
def test_items_without_a_block_are_rejected_and_copies_stay_in_theirs(
    spark: SparkSession, one_task_rows: int | None
) -> None:
    items = [
        ("a", [1.0, 0.0], 7),
        ("b", [1.0, 0.0], 7),
        ("c", [1.0, 0.0], 8),
        ("d", [1.0, 0.1], 8),
        ("e", [1.0, 0.1], None),
        ("f", [0.0, 0.0], 8),
    ]
    frame = spark.createDataFrame(items, "item_id string, embedding array<float>, brand int")
    wanted = JoinSettings(threshold=0.9, neighbors=1, blocking="brand", one_task_rows=one_task_rows)
    with closing(similar_pairs(frame, settings=wanted)) as found:
        assert [(row.left_id, row.right_id) for row in found.pairs.collect()] == [("c", "d")]
        assert {(row.item_id, row.neighbor_id) for row in found.neighbors.collect()} == {("c", "d"), ("d", "c")}
        assert [(row.item_id, row.representative_id) for row in found.copies.collect()] == [("b", "a")]
        rejected = {(row.item_id, row.reject_reason) for row in found.rejected.collect()}
        assert found.audit.tasks == (1 if one_task_rows is None else TASKS_A_CORE * 2)
    assert rejected == {("e", "missing_block"), ("f", "zero_vector")}
    assert found.audit.left.items == len(items)


def test_nothing_to_join_within_blocks() -> None:
    wanted = JoinSettings(blocking="brand")
    for right in (None, {}, {"b": ([1.0, 0.0], "x")}):
        assert find(prepare({}, right, wanted, pa.list_(pa.float32()))) == ({}, {})
    assert find(prepare({"a": ([1.0, 0.0], "x")}, {}, wanted, pa.list_(pa.float32()))) == ({}, {})


def test_an_id_that_comes_with_a_block_and_without_is_refused() -> None:
    rows = as_rows({"a": ([1.0], "x")}, None, pa.list_(pa.float32()))
    again = rows.set_column(3, "block", pa.nulls(1, pa.string()))
    with pytest.raises(DataError, match="1 item ids come more than once, such as a"):
        prepare_join(
            pa.concat_tables([rows, again]),
            JoinSettings(blocking="brand"),
            is_self_join=True,
            threads=1,
            is_shared=False,
        )


def test_a_frame_without_the_column_of_blocks_is_refused(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("a", [1.0])], "item_id string, embedding array<float>")
    with pytest.raises(DataError, match="columns are item_id, embedding; the join is within blocks of equal brand"):
        similar_pairs(frame, settings=JoinSettings(blocking="brand"))
