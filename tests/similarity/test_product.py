"""The blocked product against the oracle: every measure of equality is exact."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kinfolk.settings import JoinSettings
from kinfolk.similarity.oracle import OracleJoin, join_by_brute_force
from kinfolk.similarity.product import Vectors, join_rows, split_rows
from kinfolk.similarity.vectors import collapse_copies, read_vectors

# Small whole numbers have exact products and sums: the oracle's rounding and the kernel's are the same, and ties,
# copies, opposite vectors and thresholds that are hit exactly all occur.
COORDINATES = st.integers(min_value=-2, max_value=2).map(float)
ROWS = st.integers(min_value=1, max_value=4).flatmap(
    lambda size: st.lists(st.lists(COORDINATES, min_size=size, max_size=size).filter(any), max_size=24)
)
THRESHOLDS = st.sampled_from([-0.99, -0.5, 0.0, 0.5, 0.6, 0.8, 24 / 25, 1.0])


def name_rows(rows: list[list[float]]) -> dict[str, list[float]]:
    return {f"item{place:04d}": row for place, row in enumerate(rows)}


def join_in_blocks(vectors: dict[str, list[float]], join: JoinSettings) -> OracleJoin:
    """The kernel's answer in the oracle's shape, groups left out."""
    names = sorted(vectors, reverse=True)
    table = pa.table(
        {
            "item_id": pa.array(names, pa.string()),
            "embedding": pa.array([vectors[n] for n in names], pa.list_(pa.float32())),
        }
    )
    items, rejected = read_vectors(table)
    assert rejected.num_rows == 0
    distinct, copies = collapse_copies(items)
    ids, compared = distinct.ids.to_pylist(), Vectors(distinct.vectors_ND)
    pairs, neighbors = {}, {}
    for rows in split_rows(len(compared), join.block_rows):
        for links in join_rows(compared, rows, join):
            for rank, left, right, similarity in zip(
                links.rank_P, links.left_P, links.right_P, links.similarity_P, strict=True
            ):
                if rank == 0:
                    assert (ids[left], ids[right]) not in pairs, "each pair once"
                    pairs[ids[left], ids[right]] = similarity
                else:
                    neighbors[ids[left], int(rank)] = (ids[right], similarity)
    copied = dict(zip(copies["item_id"].to_pylist(), copies["representative_id"].to_pylist(), strict=True))
    return OracleJoin(pairs, neighbors, copied, {})


@settings(max_examples=300, deadline=None)
@given(ROWS, THRESHOLDS, st.integers(0, 30), st.integers(1, 9))
@example([], 0.5, 3, 2)
@example([[1.0, 2.0]], 0.5, 3, 1)
@example([[1.0, 1.0]] * 9, 0.5, 2, 2)
@example([[3.0, 4.0], [4.0, 3.0]], 0.96, 5, 1)
@example([[1.0, 0.0], [2.0, 0.0]], 1.0, 1, 4)
def test_blocks_find_what_brute_force_finds(
    rows: list[list[float]], threshold: float, neighbors: int, block_rows: int
) -> None:
    vectors = name_rows(rows)
    join = JoinSettings(threshold=threshold, neighbors=neighbors, block_rows=block_rows)
    expected = join_by_brute_force(vectors, settings=join)
    found = join_in_blocks(vectors, join)
    assert found.pairs == expected.pairs
    assert found.neighbors == expected.neighbors
    assert found.copies == expected.copies


@pytest.mark.parametrize("size", [1, 2, 64, 300])
def test_block_size_changes_no_bit(size: int) -> None:
    rows = np.random.default_rng(size).standard_normal((150, size)).astype(np.float32)
    rows[50:100] += rows[:50] * 4
    vectors = name_rows(rows.tolist())
    answers = [
        join_in_blocks(vectors, JoinSettings(threshold=0.3, neighbors=7, block_rows=block_rows))
        for block_rows in (1, 7, 64, 4096)
    ]
    assert answers[0].pairs, "the data has similar pairs"
    assert all(answer == answers[0] for answer in answers)


def test_real_numbers_agree_with_the_oracle_to_the_last_digits() -> None:
    rows = np.random.default_rng(0).standard_normal((120, 33)).astype(np.float32) * 10
    vectors = name_rows(rows.tolist())
    join = JoinSettings(threshold=0.2, neighbors=5, block_rows=32)
    expected, found = join_by_brute_force(vectors, settings=join), join_in_blocks(vectors, join)
    assert found.pairs == pytest.approx(expected.pairs, abs=1e-14)
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
    join = JoinSettings(threshold=middle, neighbors=10, block_rows=block_rows)
    expected, found = join_by_brute_force(vectors, settings=join), join_in_blocks(vectors, join)
    assert found.pairs == expected.pairs
    assert found.neighbors == expected.neighbors


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_long_and_short_vectors_neither_overflow_nor_vanish(scale: float) -> None:
    rows = np.array([[3, 4], [4, 3], [-3, 4]], dtype=np.float32) * np.float32(scale)
    found = join_in_blocks(name_rows(rows.tolist()), JoinSettings(threshold=0.9, neighbors=0))
    assert found.pairs == {("item0000", "item0001"): pytest.approx(0.96, abs=1e-6)}
