"""Joins by signs: what is found is right and depends on the half-keys alone, and as much is found as was promised."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from kinfolk.errors import SettingsError
from kinfolk.settings import JoinSettings
from kinfolk.similarity.found import Pairs
from kinfolk.similarity.oracle import join_by_brute_force
from kinfolk.similarity.vectors import signs
from kinfolk.similarity.vectors.items import ItemVectors
from kinfolk.similarity.vectors.join import VectorJoin, join_vectors
from kinfolk.similarity.vectors.scan import Wanted
from kinfolk.similarity.vectors.signs import SignPlan, join_signs, make_half_keys, plan_signs
from kinfolk.similarity.vectors.spaces import Space, make_space

Found = dict[tuple[int, int], float]


def make_items(vectors_ND: NDArray[Any]) -> ItemVectors:
    return ItemVectors(pa.array([f"{n:06d}" for n in range(len(vectors_ND))]), vectors_ND.astype(np.float32))


def make_twins(count: int, cosine: float, *, size: int = 32, seed: int = 0) -> NDArray[np.float32]:
    """Random directions, each even one with the next at an angle of this cosine."""
    one, other = np.random.default_rng(seed).standard_normal((2, count, size))
    one /= np.linalg.norm(one, axis=1)[:, None]
    other -= (one * other).sum(axis=1)[:, None] * one
    other /= np.linalg.norm(other, axis=1)[:, None]
    twins = np.empty((2 * count, size), np.float32)
    twins[::2], twins[1::2] = one, cosine * one + np.sqrt(1 - cosine**2) * other
    return twins


def make_clusters(rows: int, *, spread: float, clusters: int, seed: int = 0, size: int = 16) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    centers = random.standard_normal((clusters, size))
    return (centers[np.arange(rows) % clusters] + random.standard_normal((rows, size)) * spread).astype(np.float32)


def near_duplicates(**changes: Any) -> JoinSettings:
    return JoinSettings(**{"threshold": 0.97, "neighbors": 0, "recall": 0.95, "plan": "signs", **changes})


def as_dict(pairs: Pairs) -> Found:
    found = dict(
        zip(zip(pairs.left_P.tolist(), pairs.right_P.tolist(), strict=True), pairs.similarity_P.tolist(), strict=True)
    )
    assert len(found) == len(pairs), "each pair once"
    return found


def read_half_keys(keys: signs.HalfKeys) -> NDArray[np.int64]:
    return np.stack(
        [keys.word_NW[:, m // 4] >> np.uint64(m % 4 * 16) & np.uint64(0xFFFF) for m in range(keys.plan.halves)], axis=1
    ).astype(int)


def find_by_the_rule(space: Space, keys: signs.HalfKeys, least: float) -> Found:
    """Each pair of rows, one at a time: at least two half-keys agree, few signs differ, and the cosine is reached."""
    is_self_join, half_NM = space.is_self_join, read_half_keys(keys)
    left_NM, right_NM = half_NM[: len(space.left_ND)], half_NM[keys.shift :]
    found = {}
    for left, half_M in enumerate(left_NM):
        agree_N = (right_NM == half_M).sum(axis=1)
        bits_N = np.bitwise_count(right_NM ^ half_M).sum(axis=1)
        is_met_N = (agree_N >= 2) & (bits_N <= keys.plan.most_different)
        if is_self_join:
            is_met_N &= np.arange(len(right_NM)) > left
        rights = np.flatnonzero(is_met_N)
        similarities = space.similarity(np.full(len(rights), left), rights)
        found |= {(left, int(r)): float(s) for r, s in zip(rights, similarities, strict=True) if s >= least}
    return found


@pytest.mark.parametrize("recall", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("is_cross", [False, True])
def test_pairs_at_the_threshold_itself_are_found_with_the_recall_promised(recall: float, is_cross: bool) -> None:
    twins, count = make_twins(3000, 0.95), 3000
    left, right = (make_items(twins[::2]), make_items(twins[1::2])) if is_cross else (make_items(twins), None)
    wanted = near_duplicates(threshold=0.95 - 1e-6, recall=recall)
    join = VectorJoin(left, right, wanted, threads=2)
    assert (join.plan, join.is_exact) == ("signs", False)
    found = as_dict(join.find(threads=2)[0])
    truth = as_dict(join_vectors(left, right, wanted.model_copy(update={"plan": "exact"}), threads=2)[0])
    assert len(truth) == count
    assert found.items() <= truth.items(), "no wrong pair, similarities to the bit"
    plan = plan_signs(join.space, 0.95 - 1e-6, recall, seed=0)
    assert plan is not None
    expected = plan.recall_at(0.95)
    assert recall < expected < 1 - (1 - recall) / 3, "a margin, but no more tables than it takes"
    assert abs(len(found) / count - expected) < 4 * np.sqrt(expected * (1 - expected) / count)


@pytest.mark.parametrize("shares", [1, 3])
@pytest.mark.parametrize("is_cross", [False, True])
def test_what_is_found_depends_on_the_half_keys_alone(shares: int, is_cross: bool) -> None:
    rows = make_clusters(600, spread=0.3, clusters=40)
    space = make_space("cosine", rows[:300], rows[300:]) if is_cross else make_space("cosine", rows)
    keys = make_half_keys(space, SignPlan(5, 4, most_different=4, meetings=0, seconds=0), seed=7, threads=2)
    expected = find_by_the_rule(space, keys, 0.9)
    assert len(expected) > 500
    assert len(find_by_the_rule(space, keys, 0.5)) > len(expected), "some that meet are not similar enough"
    parts = [
        join_signs(space, Wanted(0.9, 0, 1 << 40), keys, threads=2, share=(share, shares)) for share in range(shares)
    ]
    assert as_dict(Pairs.joined(parts)) == expected
    assert min(map(len, parts)) > 50


@pytest.mark.parametrize("shares", [1, 2])
@pytest.mark.parametrize("is_cross", [False, True])
@pytest.mark.parametrize("are_products_dear", [False, True])
def test_large_buckets_lose_no_pair_and_repeat_none(
    monkeypatch: pytest.MonkeyPatch, shares: int, is_cross: bool, are_products_dear: bool
) -> None:
    """Two clusters of 1,000 that share large buckets, others around them that share small ones with each other."""
    rows = np.concatenate([make_clusters(2000, spread=0.1, clusters=2), make_clusters(400, spread=0.08, clusters=20)])
    rows = rows[np.random.default_rng(1).permutation(2400)]
    space = make_space("cosine", rows[:1200], rows[1200:]) if is_cross else make_space("cosine", rows)
    keys = make_half_keys(space, SignPlan(4, 3, most_different=3, meetings=0, seconds=0), seed=7, threads=2)
    products = []
    if are_products_dear:
        monkeypatch.setattr(signs, "PRODUCT_SECONDS", 1.0)
    join_exactly = signs.join_exactly
    monkeypatch.setattr(
        signs, "join_exactly", lambda space, *rest, **more: products.append(space) or join_exactly(space, *rest, **more)
    )
    parts = [
        join_signs(space, Wanted(0.995, 0, 1 << 40), keys, threads=2, share=(share, shares)) for share in range(shares)
    ]
    assert as_dict(Pairs.joined(parts)) == find_by_the_rule(space, keys, 0.995)
    assert bool(products) != are_products_dear
    assert all(len(product.right_ND) < 2200 for product in products), "only rows of large buckets"


def test_rows_that_are_alike_but_not_enough_stay_within_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight million pairs that meet: as two numbers of 64 bits they would be 128 MB."""
    space = make_space("cosine", 10 + np.random.default_rng(0).standard_normal((4000, 8)).astype(np.float32) * 0.1)
    keys = make_half_keys(space, SignPlan(3, 2, most_different=6, meetings=0, seconds=0), seed=0, threads=1)
    for dear in (signs.PRODUCT_SECONDS, 1.0):
        monkeypatch.setattr(signs, "PRODUCT_SECONDS", dear)
        tracemalloc.start()
        pairs = join_signs(space, Wanted(1 - 1e-9, 0, 1 << 40), keys, threads=1)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(pairs) == 0
        assert peak < 40e6


def test_ties_and_equal_directions_are_what_brute_force_finds() -> None:
    """Small whole numbers: many vectors of one direction, and angles that hit the threshold exactly."""
    rows = np.random.default_rng(2).integers(-2, 3, size=(300, 4))
    vectors = {
        f"{n:06d}": row.tolist() for n, row in enumerate(np.unique(rows[rows.any(axis=1)], axis=0).astype(float))
    }
    items = make_items(np.array(list(vectors.values())))
    wanted = near_duplicates(threshold=0.96, recall=0.9999)
    expected = join_by_brute_force(vectors, settings=wanted)
    found = as_dict(join_vectors(items, None, wanted, threads=1)[0])
    assert {(f"{left:06d}", f"{right:06d}"): s for (left, right), s in found.items()} == expected.pairs
    assert 1.0 in found.values()


@pytest.mark.parametrize(("left", "right"), [(0, None), (1, None), (0, 3), (3, 0), (1, 1)])
def test_nothing_and_next_to_nothing_to_join(left: int, right: int | None) -> None:
    sides = [
        None if count is None else make_items(np.ones((count, 4)) + np.arange(count)[:, None])
        for count in (left, right)
    ]
    assert sides[0] is not None
    pairs, _ = join_vectors(sides[0], sides[1], near_duplicates(threshold=1.0), threads=1)
    assert as_dict(pairs) == ({(0, 0): 1.0} if (left, right) == (1, 1) else {})


@pytest.mark.parametrize("clusters", [1, 10])
def test_the_budget_stops_a_join_long_before_its_last_pair(clusters: int) -> None:
    """Of 3,000 rows in large buckets a product is made, tile by tile; small buckets are gone through one by one."""
    items, size = make_items(make_clusters(3000, spread=0.01, clusters=clusters)), 3000 // clusters
    pairs, _ = join_vectors(items, None, near_duplicates(max_pairs=10), threads=1)
    assert 10 < len(pairs) < 0.6 * clusters * size * (size - 1) / 2


def test_a_forecast_knows_how_many_pairs_share_a_bucket() -> None:
    space = make_space("cosine", make_clusters(3000, spread=0.4, clusters=100))
    plan = plan_signs(space, 0.95, 0.95, seed=0)
    assert plan is not None
    keys = make_half_keys(space, plan, seed=0, threads=2)
    agree_NN = sum((column[:, None] == column).astype(int) for column in read_half_keys(keys).T)
    met = (agree_NN * (agree_NN - 1) // 2).sum() / 2 - plan.tables * len(agree_NN) / 2
    assert plan.meetings == pytest.approx(met, rel=0.2)


def test_dense_rows_take_more_signs() -> None:
    """Where most pairs lie close together half-keys have to tell more of them apart."""
    plans = [
        plan_signs(make_space("cosine", mean + make_clusters(3000, spread=1, clusters=3000)), 0.98, 0.95, seed=0)
        for mean in (0, 3)
    ]
    assert plans[0] is not None
    assert plans[1] is not None
    assert plans[0].signs < plans[1].signs


@pytest.mark.parametrize(
    ("changes", "plan"),
    [
        ({}, "signs"),
        ({"neighbors": 1}, "exact"),
        ({"measure": "euclidean", "threshold": 0.1}, "exact"),
        ({"threshold": 0.6}, "exact"),
        ({"recall": 1.0}, "exact"),
        ({"plan": "cells"}, "cells"),
        ({"plan": "exact"}, "exact"),
    ],
)
def test_by_itself_the_plan_is_signs_for_near_duplicates_alone(changes: dict[str, Any], plan: str) -> None:
    items = make_items(make_twins(6000, 0.98))
    wanted = near_duplicates(**{"plan": "auto", **changes})
    assert VectorJoin(items, None, wanted, threads=2).plan == plan


def test_a_recall_that_signs_cannot_reach_is_reached_exactly() -> None:
    items = make_items(make_twins(100, 0.98))
    join = VectorJoin(items, None, near_duplicates(threshold=-0.9), threads=1)
    assert (join.plan, join.is_exact) == ("exact", True)


@pytest.mark.parametrize("changes", [{"neighbors": 1}, {"threshold": None}, {"measure": "euclidean"}])
def test_signs_are_refused_for_what_they_cannot_find(changes: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="signs, which finds pairs above a cosine and no neighbours"):
        join_vectors(make_items(np.ones((1, 2))), None, near_duplicates(**changes), threads=1)
