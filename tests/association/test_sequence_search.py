"""Sequences on arrays, against the oracle and at their edges."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.association.sequences import search as sequence_search
from kinfolk.association.sequences.histories import Histories, encode_histories
from kinfolk.association.sequences.oracle import Bounds, Counted, History, Sequence, find_sequences
from kinfolk.association.sequences.search import search_sequences
from kinfolk.association.sequences.tree import SequenceLimits, SequenceTree
from kinfolk.kernels.medians import find_median

ITEMS = "abcd"
ANY = 10**9
UNLIMITED = Bounds(64, 64, 1, ANY, ANY)


def encode(histories: list[History], least: int) -> Histories:
    """The histories as they come from lines in any order."""
    lines = [
        (f"c{customer}", f"{customer} {when}", item, when)
        for customer, history in enumerate(histories)
        for when, items in history
        for item in sorted(items)
    ]
    random.Random(len(lines)).shuffle(lines)
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


def test_with_a_most_gap_a_later_place_may_go_on_where_the_first_cannot() -> None:
    histories = [history_of("1a 5a 6b"), history_of("1a 2b 9c"), history_of("1a 5ab 6c")]
    near = UNLIMITED._replace(max_gap=2)
    found = search(histories, 1, near)
    assert found[frozenset("a"), frozenset("b")] == (2, 1)
    assert found[frozenset("ab"), frozenset("c")] == (1, 1)
    assert (frozenset("a"), frozenset("b"), frozenset("c")) not in found, "b comes with c only 7 later, or with a"
    within = search([history_of("1a 3b 4a 5b 7c")], 1, UNLIMITED._replace(max_span=3))
    assert within[frozenset("a"), frozenset("b"), frozenset("c")] == (1, 2), "the way there that started last"


@pytest.mark.usefixtures("_room")
@pytest.mark.parametrize("threads", [1, 2])
def test_many_customers_equal_the_oracle(threads: int) -> None:
    draw = np.random.default_rng(4)
    histories = []
    for _ in range(400):
        times = np.unique(draw.integers(0, 40, 6)).tolist()
        histories.append([(time, frozenset(draw.choice(list("abcdefgh"), 2).tolist())) for time in times])
    bounds = Bounds(4, 4, 2, 12, 25)
    found = search(histories, 12, bounds, threads=threads)
    assert found == find_sequences(histories, 12, bounds)
    assert len(found) > 100


@pytest.mark.parametrize("threads", [1, 2])
def test_the_search_ends_soon_after_there_are_too_many(threads: int) -> None:
    history = [(time, frozenset("abcd")) for time in range(5)]
    assert len(search([history], 1, UNLIMITED._replace(length=3))) == len(
        search([history], 1, UNLIMITED._replace(length=3), most=308, threads=threads)
    )
    # There are 16^5 - 1 sequences of these elements with a gap of 1, and more.
    assert 1000 < len(search([history], 1, most=1000, threads=threads)) < 2000 * threads


def test_nothing_is_found_in_no_histories() -> None:
    assert search([], 1) == {}
    assert search([history_of("1a")], 2) == {}


def test_infrequent_items_and_elements_of_nothing_else_are_dropped() -> None:
    encoded = encode([history_of("1ab 3c 5ab"), history_of("2c"), history_of("1c 2a 4d 9ad")], 2)
    assert encoded.item_ids.to_pylist() == ["a", "c"], "the rarest first"
    assert encoded.count_R.tolist() == [2, 3]
    assert (encoded.customer_count, len(encoded.elements.time_T)) == (3, 7)
    assert sorted(encoded.elements.time_T.tolist()) == [1, 1, 2, 2, 3, 5, 9]


def test_items_are_called_what_most_lines_call_them_and_any_ids_do() -> None:
    lines = {
        "customer_id": [1, 1, 2, 2],
        "basket_id": [7, 8, 7, None],
        "item_id": ["a", "a", "a", "b"],
        "item_name": ["old", "new", "new", "gone"],
        "event_time": pa.array([5, 6, 7, 8], pa.timestamp("s", "UTC")),
    }
    encoded = encode_histories(pa.table(lines), lambda customers: customers)
    assert (encoded.item_ids.to_pylist(), encoded.item_names.to_pylist()) == (["a"], ["new"])
    assert encoded.elements.time_T.tolist() == [5_000_000, 6_000_000, 7_000_000], "one basket id, two customers"


@settings(max_examples=200)
@given(st.lists(st.integers(0, 9) | st.integers(0, 1 << 60), min_size=1))
def test_medians_are_those_of_the_standard_library(values: list[int]) -> None:
    assert find_median(np.array(values), len(values)) == pytest.approx(statistics.median(values), rel=1e-15)
