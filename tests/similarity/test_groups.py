"""Groups and the guard against chaining, against a search by hand; the same in one task and by rounds on Spark."""

from __future__ import annotations

import itertools
import math
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kinfolk.errors import DataError
from kinfolk.settings import GroupSettings
from kinfolk.similarity.groups import hops
from kinfolk.similarity.groups.connect import connect_groups, group_edges
from kinfolk.similarity.oracle import OracleGroup, expand_links, split_groups

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Pairs = dict[tuple[str, str], float]
Copies = dict[str, str]

PLACES = st.integers(0, 13)
# Whole similarities, negative ones too, so that many are equal.
LINKS = st.dictionaries(st.tuples(PLACES, PLACES).filter(lambda p: p[0] < p[1]), st.integers(-2, 3), max_size=30)


def name(place: int) -> str:
    return f"n{place:05d}"


@st.composite
def pairs_and_copies(draw: st.DrawFn) -> tuple[Pairs, Copies]:
    """Pairs of 14 representatives, and copies whose ids come before, between and behind those."""
    pairs = {(name(left), name(right)): float(s) for (left, right), s in draw(LINKS).items()}
    copied = draw(st.lists(st.tuples(st.sampled_from("amz"), PLACES), max_size=6))
    return pairs, {f"{prefix}{place}": name(place) for prefix, place in copied}


def to_edges(pairs: Pairs, copies: Copies, order: np.random.Generator) -> pa.Table:
    rows = [(*pair, s) for pair, s in pairs.items()] + [(rep, copy, math.inf) for copy, rep in copies.items()]
    shuffled = [rows[place] for place in order.permutation(len(rows))]
    left, right, similarity = zip(*shuffled, strict=True) if shuffled else ([], [], [])
    types = {"left_id": pa.string(), "right_id": pa.string(), "similarity": pa.float64()}
    columns = zip(types.items(), (left, right, similarity), strict=True)
    return pa.table({column: pa.chunked_array([values], kind) for (column, kind), values in columns})


def to_groups(rows: list[dict[str, object]], label: str) -> set[OracleGroup]:
    members: dict[tuple[object, ...], set[str]] = {}
    for row in rows:
        key = (row[label], row["weakest_link"], row["diameter"], row["group_size"])
        members.setdefault(key, set()).add(str(row["item_id"]))
    assert len({key[0] for key in members}) == len(members), "all rows of a group say the same"
    assert all(key[3] == len(items) for key, items in members.items())
    assert all(key[0] == min(items) for key, items in members.items())
    return {
        OracleGroup(frozenset(items), math.inf if weakest is None else float(str(weakest)), int(str(diameter)))
        for (_, weakest, diameter, _), items in members.items()
    }


@settings(max_examples=100)
@example(({("n0", "n1"): 2.0, ("n0", "n2"): 2.0}, {"a0": "n0"}), 1, 4, 0)
@given(pairs_and_copies(), st.integers(1, 4), st.integers(2, 8), st.integers(0, 99))
def test_groups_are_those_found_by_hand(found: tuple[Pairs, Copies], max_hops: int, max_items: int, seed: int) -> None:
    limits = GroupSettings(max_hops=max_hops, max_items=max_items)
    table = group_edges(to_edges(*found, np.random.default_rng(seed)), limits)
    assert to_groups(table.to_pylist(), "first_id") == split_groups(expand_links(*found), limits)


def random_links(items: int, links: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random tree with random links on top, so that all is connected."""
    left = np.concatenate([(rng.random(items - 1) * np.arange(1, items)).astype(int), rng.integers(0, items, links)])
    right = np.concatenate([np.arange(1, items), rng.integers(0, items, links)])
    return left[left != right], right[left != right]


@pytest.mark.parametrize(("items", "links", "seed"), [(65, 0, 0), (300, 60, 1), (300, 900, 2), (400, 6000, 3)])
def test_the_diameter_of_large_parts_is_exact(items: int, links: int, seed: int) -> None:
    from scipy.sparse.csgraph import shortest_path

    left, right = random_links(items, links, np.random.default_rng(seed))
    graph = hops.make_graph(left, right, np.ones(len(left)), items)
    dense = np.zeros((items, items))
    dense[left, right] = dense[right, left] = 1
    farthest = shortest_path(dense, unweighted=True).max(axis=1)
    part, members, scratch = np.zeros(items, np.int64), np.arange(items, dtype=np.int32), hops.make_scratch(items)
    diameter = int(farthest.max())
    assert hops.measure_part(graph, part, members, diameter, scratch) == (diameter, -1)
    too_far, source = hops.measure_part(graph, part, members, diameter - 1, scratch)
    assert too_far == diameter == farthest[source]


def test_a_large_part_is_split_as_by_hand() -> None:
    """Too many members for the searches that go 64 at a time, with members far off by many links."""
    rng = np.random.default_rng(5)
    left, right = random_links(90, 25, rng)
    pairs = {(name(a), name(b)): float(s) for a, b, s in zip(left, right, rng.integers(0, 9, len(left)), strict=True)}
    for limits in (GroupSettings(max_hops=6), GroupSettings(max_hops=40, max_items=30)):
        found = to_groups(group_edges(to_edges(pairs, {}, rng), limits).to_pylist(), "first_id")
        links = expand_links({pair: max(pairs[pair], pairs.get(pair[::-1], -1)) for pair in pairs}, {})
        assert found == split_groups(links, limits)


def make_shapes() -> tuple[Pairs, Copies]:
    """A path of 201 items, a star, a clique and random links, copies on the path, and an item of nothing but copies."""
    rng = np.random.default_rng(0)
    steps = rng.permutation(201).tolist()
    path = [(min(step), max(step)) for step in itertools.pairwise(steps)]
    star = [(300, place) for place in range(301, 360)]
    clique = [(left, right) for left in range(400, 412) for right in range(left + 1, 412)]
    loose = [(500 + left, 501 + left + right) for left, right in rng.integers(0, 60, (70, 2)).tolist()]
    pairs = {(name(left), name(right)): float(rng.integers(1, 20)) / 20 for left, right in path + star + clique + loose}
    return pairs, {"copy of 0": name(0), "zcopy of 200": name(200), "copy of 900": name(900), "zcopy of 900": name(900)}


def to_frames(spark: SparkSession, pairs: Pairs, copies: Copies) -> tuple[DataFrame, DataFrame]:
    return (
        spark.createDataFrame(
            [(*p, s) for p, s in pairs.items()], "left_id string, right_id string, similarity double"
        ).repartition(3),
        spark.createDataFrame(list(copies.items()), "item_id string, representative_id string"),
    )


def test_one_task_and_rounds_over_the_cluster_give_the_same(spark: SparkSession) -> None:
    pairs, copies = make_shapes()
    frames = to_frames(spark, pairs, copies)

    # One task finds the components, as what connects them fits, and others get them.
    wide = GroupSettings(max_hops=200, one_task_edges=len(pairs) + len(copies) - 1)
    expected = split_groups(expand_links(pairs, copies), wide)
    assert max(group.diameter for group in expected) == 200
    with closing(connect_groups(*frames, settings=wide)) as result:
        assert result.rounds == 0
        before = result.groups.collect()
        assert to_groups([row.asDict() for row in before], "group_id") == expected
        assert result.events["event"].to_pylist() == ["created"] * len(expected)

    # The next night, with stricter limits: by rounds, and by one task.
    nights = []
    for strict in (GroupSettings(one_task_edges=0), GroupSettings()):
        previous = spark.createDataFrame(before).select("item_id", "group_id")
        with closing(connect_groups(*frames, settings=strict, previous=previous)) as result:
            assert (result.rounds > 2) == (strict.one_task_edges == 0)
            nights.append((sorted(map(tuple, result.groups.collect())), result.events.to_pylist()))
    assert nights[0] == nights[1]
    assert {event["event"] for event in nights[0][1]} == {"shrunk", "split"}
    found = group_edges(to_edges(pairs, copies, np.random.default_rng(0)), strict)
    assert sorted(found["group_size"].to_pylist()) == sorted(size for _, _, size, *_ in nights[0][0])


def test_a_similarity_that_has_no_place_in_an_order_is_refused(spark: SparkSession) -> None:
    pairs, copies = to_frames(spark, {("a", "b"): 0.5, ("a", "c"): math.nan, ("b", "c"): math.inf}, {"d": "a"})
    with pytest.raises(DataError, match="2 of 3 pairs have a similarity that is null, infinite or not a number"):
        connect_groups(pairs, copies, settings=GroupSettings())


def test_nothing_to_group(spark: SparkSession) -> None:
    pairs, copies = to_frames(spark, {}, {})
    previous = spark.createDataFrame([("a", "a"), ("b", "a")], "item_id string, group_id string")
    for edges in (0, 1):
        limits = GroupSettings(one_task_edges=edges)
        with closing(connect_groups(pairs, copies, settings=limits, previous=previous)) as result:
            assert result.groups.collect() == []
            assert [tuple(row.values()) for row in result.events.to_pylist()] == [("a", "dissolved", 2, 2, 0, [])]
