"""Sequences on arrays, against the oracle and at their edges."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.association import sequence_search
from kinfolk.association.histories import Histories, encode_histories
from kinfolk.association.sequence_oracle import Bounds, Counted, History, Sequence, find_sequences
from kinfolk.association.sequence_search import search_sequences
from kinfolk.association.sequence_tree import SequenceLimits, SequenceTree

ITEMS = "abcd"
ANY = 10**9
UNLIMITED = Bounds(64, 64, 1, ANY, ANY)


def encode(histories: list[History], least: int = 1, *, order: np.random.Generator | None = None) -> Histories:
    lines = [
        (f"c{customer}", f"{customer} {when}", item, when)
        for customer, history in enumerate(histories)
        for when, items in history
        for item in sorted(items)
    ]
    if order is not None:
        order.shuffle(lines)
    columns = [pa.array([line[place] for line in lines], pa.string()) for place in range(3)]
    times = pa.array([line[3] for line in lines], pa.timestamp("us"))
    names = ["customer_id", "basket_id", "item_id", "event_time"]
    return encode_histories(pa.table([*columns, times], names=names), lambda _: least)


def sequences_of(histories: Histories, tree: SequenceTree) -> list[Sequence]:
    ids, found = histories.item_ids.to_pylist(), []
    for parent, item, is_new in zip(tree.parent_S, tree.item_S, tree.is_new_S, strict=True):
        before = found[parent] if parent >= 0 else ()
        added = frozenset([ids[item]])
        found.append((*before, added) if is_new else (*before[:-1], before[-1] | added))
    return found


def search(
    histories: list[History], least: int, bounds: Bounds = UNLIMITED, *, most: int = ANY, threads: int = 1
) -> dict[Sequence, Counted]:
    encoded = encode(histories, least)
    limits = SequenceLimits(
        least, bounds.length, bounds.elements, most, bounds.min_gap, bounds.max_gap, bounds.max_span
    )
    tree = search_sequences(encoded, limits, threads=threads)
    sequences = sequences_of(encoded, tree)
    counts = [
        Counted(customers, None if math.isnan(gap) else gap)
        for customers, gap in zip(tree.count_S.tolist(), tree.gap_S.tolist(), strict=True)
    ]
    assert len(set(sequences)) == len(sequences), "each once"
    return dict(zip(sequences, counts, strict=True))


def history_of(purchases: str) -> History:
    """`1ab 5c` bought a and b at 1, and c at 5."""
    return [(int(part.rstrip(ITEMS)), frozenset(part.lstrip("0123456789"))) for part in purchases.split()]


@pytest.fixture(params=["roomy", "no room"])
def _room(request: pytest.FixtureRequest) -> object:
    """Small data has to go through the same seams as large: arrays that grow again and again."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "no room":
            patch.setattr(sequence_search, "_FIRST_SEQUENCES", 1)
            patch.setattr(sequence_search, "_FIRST_PLACES", 1)
        yield


SOME_HISTORY = st.dictionaries(
    st.integers(0, 12), st.frozensets(st.sampled_from(ITEMS), min_size=1, max_size=3), max_size=6
).map(lambda history: sorted(history.items()))
SOME_HISTORIES = st.lists(SOME_HISTORY, max_size=8)
SOME_BOUNDS = st.builds(
    Bounds,
    st.sampled_from([1, 2, 3, 5]),
    st.sampled_from([1, 2, 3, 5]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([2, 3, 4, ANY]),
    st.sampled_from([3, 5, 7, ANY]),
)


@pytest.mark.usefixtures("_room")
@settings(max_examples=300)
@given(SOME_HISTORIES, st.integers(1, 4), SOME_BOUNDS, st.sampled_from([1, 3]))
def test_sequences_their_counts_and_gaps_equal_the_oracles(
    histories: list[History], least: int, bounds: Bounds, threads: int
) -> None:
    assert search(histories, least, bounds, threads=threads) == find_sequences(histories, least, bounds)
