"""Joins of vectors against the oracle: exact plans to the bit, the others to what they promise."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import JoinSettings
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.oracle import OracleJoin, join_by_brute_force
from kinfolk.similarity.recall import draw_rows, measure_recall
from kinfolk.similarity.vectors.cells import count_visited, find_homes, find_probes, make_cells, measure_borders
from kinfolk.similarity.vectors.items import ItemVectors, collapse_copies, read_vectors
from kinfolk.similarity.vectors.join import VectorJoin, join_vectors

# Small whole numbers have exact products and sums: the oracle's rounding and the kernel's are the same, and ties,
# copies, opposite vectors and thresholds that are hit exactly all occur.
COORDINATES = st.integers(min_value=-2, max_value=2).map(float)
SIDES = st.integers(min_value=1, max_value=4).flatmap(
    lambda size: st.tuples(
        *[st.lists(st.lists(COORDINATES, min_size=size, max_size=size).filter(any), max_size=24) for _ in range(2)]
    )
)
MEASURES = st.sampled_from(
    [
        *(("cosine", least) for least in (-0.99, -0.5, 0.0, 0.5, 0.6, 0.8, 24 / 25, 1.0, None)),
        *(("euclidean", most) for most in (0.0, 1.0, 2.0, 2.0**0.5, 3.0)),
        *(("inner_product", least) for least in (-3.0, 0.0, 2.0, 7.0)),
    ]
)


def name_rows(rows: Any) -> dict[str, list[float]]:
    return {f"item{place:04d}": list(row) for place, row in enumerate(rows)}


def read_side(vectors: dict[str, list[float]]) -> tuple[ItemVectors, dict[str, str]]:
    names = sorted(vectors, reverse=True)
    values = pa.array([vectors[n] for n in names], pa.list_(pa.float32()))
    items, rejected = read_vectors(pa.table({"item_id": pa.array(names, pa.string()), "value": values}))
    assert rejected.num_rows == 0
    distinct, copies = collapse_copies(items)
    return distinct, dict(zip(copies["item_id"].to_pylist(), copies["representative_id"].to_pylist(), strict=True))


def make_items(rows: Any) -> ItemVectors:
    """Vectors in the order of their ids, none of them equal."""
    return ItemVectors(pa.array(list(name_rows(rows))), rows)


def join(
    vectors: dict[str, list[float]],
    others: dict[str, list[float]] | None,
    wanted: JoinSettings,
    *,
    shares: int = 1,
    threads: int = 1,
) -> OracleJoin:
    """What the kernels find, in the oracle's shape, groups left out."""
    (left, copies), right = read_side(vectors), read_side(others)[0] if others is not None else None
    found = [join_vectors(left, right, wanted, threads=threads, share=(t, shares)) for t in range(shares)]
    ids, base_ids = left.ids.to_pylist(), (right or left).ids.to_pylist()
    pairs = [tell_pairs(pairs, ids, base_ids) for pairs, _ in found]
    neighbors = [tell_neighbors(neighbors, ids, base_ids) for _, neighbors in found]
    assert len(set(chain(*pairs))) == sum(map(len, pairs)), "each pair once"
    assert len(set(chain(*neighbors))) == sum(map(len, neighbors)), "each row in one share"
    return OracleJoin(dict(chain(*map(dict.items, pairs))), dict(chain(*map(dict.items, neighbors))), copies, {})


def tell_pairs(pairs: Pairs, ids: list[str], base_ids: list[str]) -> dict[tuple[str, str], float]:
    found = [
        ((ids[left], base_ids[right]), similarity)
        for left, right, similarity in zip(pairs.left_P, pairs.right_P, pairs.similarity_P, strict=True)
    ]
    assert len(dict(found)) == len(found), "each pair once"
    return dict(found)


def tell_neighbors(
    neighbors: Neighbors, ids: list[str], base_ids: list[str]
) -> dict[tuple[str, int], tuple[str, float]]:
    return {
        (ids[row], rank): (base_ids[code], similarity)
        for row, codes, similarities in zip(neighbors.row_N, neighbors.code_NK, neighbors.similarity_NK, strict=True)
        for rank, (code, similarity) in enumerate(zip(codes, similarities, strict=True), start=1)
        if code >= 0
    }


def expect(vectors: dict[str, list[float]], others: dict[str, list[float]] | None, wanted: JoinSettings) -> OracleJoin:
    expected = join_by_brute_force(vectors, others, settings=wanted)
    return OracleJoin(expected.pairs, expected.neighbors, expected.copies, {})


@settings(max_examples=300, deadline=None)
@given(SIDES, MEASURES, st.integers(0, 30), st.integers(1, 9), st.sampled_from(["self", "cross"]), st.integers(1, 3))
@example(([], []), ("cosine", 0.5), 3, 2, "self", 1)
@example(([], [[1.0]]), ("cosine", 0.5), 3, 2, "cross", 2)
@example(([[1.0, 2.0]], []), ("euclidean", 0.5), 3, 1, "self", 1)
@example(([[1.0, 1.0]] * 9, []), ("cosine", 0.5), 2, 2, "self", 1)
@example(([[3.0, 4.0], [4.0, 3.0]], []), ("cosine", 0.96), 5, 1, "self", 1)
@example(([[1.0, 0.0], [2.0, 0.0]], []), ("cosine", 1.0), 1, 4, "self", 2)
def test_blocks_find_what_brute_force_finds(
    sides: tuple[list[list[float]], list[list[float]]],
    measure: tuple[Any, float | None],
    neighbors: int,
    block_rows: int,
    kind: str,
    shares: int,
) -> None:
    vectors, others = name_rows(sides[0]), name_rows(sides[1]) if kind == "cross" else None
    wanted = JoinSettings(measure=measure[0], threshold=measure[1], neighbors=neighbors, block_rows=block_rows)
    found = join(vectors, others, wanted, shares=shares, threads=1 + block_rows % 2)
    assert found == expect(vectors, others, wanted)


@pytest.mark.parametrize("size", [1, 2, 64, 300])
def test_neither_blocks_nor_threads_nor_shares_change_a_bit(size: int) -> None:
    rows = np.random.default_rng(size).standard_normal((150, size)).astype(np.float32)
    rows[50:100] += rows[:50] * 4
    vectors = name_rows(rows.tolist())
    answers = [
        join(vectors, None, JoinSettings(threshold=0.3, neighbors=7, block_rows=block_rows), shares=shares, threads=2)
        for block_rows, shares in ((1, 2), (7, 1), (64, 3), (4096, 1))
    ]
    assert answers[0].pairs, "the data has similar pairs"
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize(("measure", "threshold"), [("cosine", 0.2), ("euclidean", 75.0), ("inner_product", 800.0)])
def test_real_numbers_agree_with_the_oracle_to_the_last_digits(measure: Any, threshold: float) -> None:
    rows = np.random.default_rng(0).standard_normal((120, 33)).astype(np.float32) * 10 + 3
    vectors = name_rows(rows.tolist())
    wanted = JoinSettings(measure=measure, threshold=threshold, neighbors=5, block_rows=32)
    expected, found = expect(vectors, None, wanted), join(vectors, None, wanted)
    assert 0 < len(found.pairs) < 7140
    assert found.pairs == pytest.approx(expected.pairs, rel=1e-13)
    assert {key: item for key, (item, _) in found.neighbors.items()} == {
        key: item for key, (item, _) in expected.neighbors.items()
    }


@pytest.mark.parametrize("block_rows", [25, 4096])
def test_cosines_too_close_for_float32_are_told_apart(block_rows: int) -> None:
    """Nearly parallel vectors of whole numbers: their cosines differ in the seventh digit; float64 has them exact."""
    rows = 1000.0 + np.random.default_rng(2).integers(-2, 3, size=(60, 1500))
    vectors = name_rows(rows.tolist())
    everything = join_by_brute_force(vectors, settings=JoinSettings(threshold=0.9, neighbors=0))
    middle = sorted(everything.pairs.values())[len(everything.pairs) // 2]
    wanted = JoinSettings(threshold=middle, neighbors=10, block_rows=block_rows)
    assert join(vectors, None, wanted) == expect(vectors, None, wanted)


def test_distances_far_from_the_origin_are_told_apart() -> None:
    """The squares of the coordinates are a million times the squares of the distances."""
    rows = 4096.0 + np.random.default_rng(3).integers(-4, 5, size=(80, 20))
    vectors = name_rows(rows.tolist())
    wanted = JoinSettings(measure="euclidean", threshold=15.0, neighbors=4, block_rows=32)
    expected = expect(vectors, None, wanted)
    assert 0 < len(expected.pairs) < 3160
    assert join(vectors, None, wanted) == expected


def test_more_ties_than_places_to_spare_are_broken_by_id() -> None:
    """Each of 60 directions is equally near to all others; the neighbours are the first ids."""
    vectors = name_rows(np.eye(60).tolist())
    wanted = JoinSettings(threshold=None, neighbors=3, block_rows=16)
    assert join(vectors, None, wanted, threads=2) == expect(vectors, None, wanted)


@pytest.mark.parametrize("scale", [1e-18, 1e18])
@pytest.mark.parametrize("measure", ["cosine", "euclidean"])
def test_long_and_short_vectors_neither_overflow_nor_vanish(scale: float, measure: Any) -> None:
    rows = np.array([[3, 4], [4, 3], [-3, 4]], dtype=np.float32) * np.float32(scale)
    threshold = 0.9 if measure == "cosine" else 2 * scale
    found = join(name_rows(rows.tolist()), None, JoinSettings(measure=measure, threshold=threshold, neighbors=0))
    similarity = 0.96 if measure == "cosine" else -(2**0.5) * scale
    assert found.pairs == {("item0000", "item0001"): pytest.approx(similarity, rel=1e-6)}


def make_clusters(rows: int, *, seed: int, size: int = 16) -> ItemVectors:
    random = np.random.default_rng(seed)
    centers = random.standard_normal((rows // 20, size))
    vectors = centers[random.integers(0, len(centers), rows)] + random.standard_normal((rows, size)) * 0.4
    return ItemVectors(pa.array([f"{i:06d}" for i in range(rows)]), vectors.astype(np.float32))


@pytest.mark.parametrize(
    ("measure", "threshold", "is_cross"),
    [("cosine", 0.9, False), ("cosine", 0.9, True), ("euclidean", 1.6, False), ("euclidean", 1.6, True)],
)
def test_cells_reach_their_recall_and_find_nothing_wrong(measure: Any, threshold: float, is_cross: bool) -> None:
    left, right = make_clusters(4000, seed=1), make_clusters(3000, seed=2) if is_cross else None
    if right is not None:
        right.vectors_ND[:1500] = left.vectors_ND[:1500] + 0.1
    wanted = JoinSettings(measure=measure, threshold=threshold, neighbors=5, recall=0.95, plan="cells", probes=1000)
    exact_pairs, exact_neighbors = join_vectors(left, right, wanted.model_copy(update={"plan": "exact"}), threads=1)
    assert len(exact_pairs) > 1000
    joins = VectorJoin(left, right, wanted, threads=2)
    assert (joins.plan, joins.is_exact) == ("cells", False)
    pairs, neighbors = joins.find(threads=2)
    truth = dict(zip(zip(exact_pairs.left_P, exact_pairs.right_P, strict=True), exact_pairs.similarity_P, strict=True))
    found = dict(zip(zip(pairs.left_P, pairs.right_P, strict=True), pairs.similarity_P, strict=True))
    assert len(found) == len(pairs), "each pair once"
    assert found.items() <= truth.items(), "no wrong pair, similarities to the bit"
    is_right_NK = (neighbors.code_NK[:, :, None] == exact_neighbors.code_NK[:, None, :]).any(axis=1)
    assert is_right_NK.mean() > 0.945
    everyone = joins.probe(np.arange(len(left)), threads=1)
    recall = measure_recall(everyone, pairs, neighbors, is_self_join=not is_cross, population=len(left))
    assert recall.value == recall.low == recall.high > 0.945
    some = joins.probe(draw_rows(len(left), 1000, seed=3), threads=1)
    estimated = measure_recall(some, pairs, neighbors, is_self_join=not is_cross, population=len(left))
    assert estimated.low - 0.02 < recall.value < estimated.high + 0.02


@pytest.mark.parametrize("is_cross", [False, True])
def test_shares_of_a_join_by_cells_are_its_parts_and_reach_the_recall(is_cross: bool) -> None:
    left, right = make_clusters(4000, seed=1), make_clusters(3000, seed=2) if is_cross else None
    wanted = JoinSettings(threshold=0.85, neighbors=5, recall=0.95, plan="cells", probes=1000)
    join = VectorJoin(left, right, wanted, threads=1, is_shared=True)
    whole, _ = join.find(threads=2)
    shares = [join.find((t, 3), threads=1) for t in range(3)]
    shared = [key for part, _ in shares for key in zip(part.left_P, part.right_P, strict=True)]
    assert sorted(shared) == sorted(zip(whole.left_P, whole.right_P, strict=True)), "the same pairs, each once"
    rows = np.concatenate([part.row_N for _, part in shares])
    assert sorted(rows) == list(range(len(left)))
    codes_NK = np.concatenate([part.code_NK for _, part in shares])[np.argsort(rows)]
    neighbors = Neighbors(np.arange(len(left)), codes_NK, np.zeros(codes_NK.shape))
    everyone = join.probe(np.arange(len(left)), threads=1)
    recall = measure_recall(everyone, whole, neighbors, is_self_join=not is_cross, population=len(left))
    assert recall.value > 0.945


def test_a_recall_that_cells_cannot_reach_is_reached_exactly() -> None:
    """Vectors without any structure, of which each cell knows nothing."""
    rows = np.random.default_rng(5).standard_normal((6000, 200)).astype(np.float32)
    items = ItemVectors(pa.array([f"{i:06d}" for i in range(6000)]), rows)
    wanted = JoinSettings(threshold=None, neighbors=3, recall=0.999, probes=200, plan="cells")
    assert VectorJoin(items, None, wanted, threads=1).is_exact


def test_each_row_probes_the_cells_around_it() -> None:
    random = np.random.default_rng(3)
    queries_NE, base_NE = (random.normal(size=(rows, 6)).astype(np.float32) for rows in (300, 900))
    cells = make_cells(base_NE, 40, seed=0, threads=2)
    home_N = find_homes(queries_NE, cells.center_CE, threads=2)
    probes = find_probes(queries_NE, home_N, cells, 0.3, threads=2)
    # The foot of the way from one center to the other at which both are as far from it as the row's projection.
    rows, others = np.repeat(np.arange(300), 40), np.tile(np.arange(40, dtype=np.int32), 300)
    home, there, row = cells.center_CE[home_N[rows]], cells.center_CE[others], queries_NE[rows].astype(float)
    far = [np.square(row - center.astype(float)).sum(axis=1) for center in (home, there)]
    with np.errstate(invalid="ignore"):
        away = (far[1] - far[0]) / (2 * np.linalg.norm(there.astype(float) - home, axis=1))
    away[others == home_N[rows]] = 0.0
    assert measure_borders(queries_NE, home_N, cells.center_CE, rows, others) == pytest.approx(away, abs=1e-9)
    place_N = np.argsort(probes.order_N)
    does_probe = probes.do_visit(place_N[rows], others)
    assert (does_probe == (away <= 0.3))[np.abs(away - 0.3) > 1e-5].all()
    assert 1.5 < does_probe.sum() / 300 < 20, "neither the home alone nor nearly all"
    visited = (does_probe * np.bincount(cells.home_N, minlength=40)[others]).sum() / 300
    assert count_visited(queries_NE, home_N, cells, 0.3, threads=1) == pytest.approx(visited)
    listed = [probes.order_N[np.r_[probes.at_home(cell), probes.visitors(cell)]] for cell in range(40)]
    assert [set(some.tolist()) for some in listed] == [
        set(rows[does_probe & (others == c)].tolist()) for c in range(40)
    ]


def test_rare_pairs_are_not_missed_because_no_drawn_row_has_any() -> None:
    random = np.random.default_rng(5)
    rows = random.standard_normal((4000, 24))
    twins = np.arange(0, 4000, 200)
    rows[twins + 1] = rows[twins] + random.standard_normal((20, 24)) * 0.35
    items = make_items(rows.astype(np.float32))
    wanted = JoinSettings(threshold=0.85, neighbors=0, recall=0.95, plan="cells", probes=20)
    found = join_vectors(items, None, wanted, threads=1)[0]
    assert len(set(found.left_P.tolist()) & set(twins.tolist())) >= 19


def test_the_budget_stops_a_join_long_before_its_last_pair() -> None:
    """A tile of 10 x 10 may go beyond the budget; 200 items have 19,900 pairs."""
    rows = (np.random.default_rng(0).random((200, 3)) + 1).astype(np.float32)
    items = ItemVectors(pa.array([f"{place:03d}" for place in range(200)]), rows)
    wanted = JoinSettings(threshold=0.5, max_pairs=1, block_rows=10, neighbors=0)
    assert 1 < len(join_vectors(items, None, wanted, threads=1)[0]) <= 100


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"measure": "jaccard"}, "cosine, euclidean, inner_product"),
        ({"plan": "minhash"}, "exact, cells"),
        ({"threshold": 1.5}, "above -1 and at most 1"),
        ({"measure": "euclidean", "threshold": -1.0}, "a distance, 0 or more"),
    ],
)
def test_settings_that_vectors_cannot_meet_are_refused(wrong: dict[str, Any], message: str) -> None:
    items = read_side({"a": [1.0]})[0]
    with pytest.raises(SettingsError, match=message):
        join_vectors(items, None, JoinSettings(**wrong), threads=1)


def test_vectors_of_two_encoders_are_refused() -> None:
    with pytest.raises(DataError, match="one side have 1 coordinates, those of the other 2"):
        join_vectors(read_side({"a": [1.0]})[0], read_side({"b": [1.0, 2.0]})[0], JoinSettings(), threads=1)
