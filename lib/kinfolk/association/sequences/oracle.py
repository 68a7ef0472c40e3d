"""A slow and obvious search for sequences on Python sets, independent of the fast one, which tests compare it with."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import combinations, pairwise
from statistics import median
from typing import NamedTuple

Sequence = tuple[frozenset[str], ...]
History = list[tuple[int, frozenset[str]]]
"""What a customer bought, and when, in order of time."""


class Bounds(NamedTuple):
    """Most items and elements of a sequence; least and most time between its elements; most time in all."""

    length: int
    elements: int
    min_gap: int
    max_gap: int
    max_span: int


class Counted(NamedTuple):
    """How many customers hold a sequence, and the median gap before its last element, None where there is one."""

    customers: int
    gap: float | None


def find_sequences(histories: Collection[History], least: int, bounds: Bounds) -> dict[Sequence, Counted]:
    """Count every sequence within the bounds that at least `least` (1 or more) histories hold.

    All ways in which a history holds any sequence are listed. Of those in which it holds the same one, the gap is that
    of the way that ends first, and there the shortest one.
    """
    gaps: dict[Sequence, list[int | None]] = {}
    for history in histories:
        ways: dict[Sequence, tuple[int, int | None]] = {}
        for places in _choose_places(history, bounds):
            times = [history[place][0] for place in places]
            way = times[-1], times[-1] - times[-2] if len(times) > 1 else None
            for sequence in _choose_items([history[place][1] for place in places], bounds.length):
                ways[sequence] = min(ways.get(sequence, way), way)
        for sequence, (_, gap) in ways.items():
            gaps.setdefault(sequence, []).append(gap)
    return {sequence: _count(some) for sequence, some in gaps.items() if len(some) >= least}


def _count(gaps: list[int | None]) -> Counted:
    known = [gap for gap in gaps if gap is not None]
    return Counted(len(gaps), median(known) if known else None)


def _choose_places(history: History, bounds: Bounds) -> Iterator[tuple[int, ...]]:
    for elements in range(1, bounds.elements + 1):
        for places in combinations(range(len(history)), elements):
            times = [history[place][0] for place in places]
            steps = [later - earlier for earlier, later in pairwise(times)]
            is_near = all(bounds.min_gap <= step <= bounds.max_gap for step in steps)
            if is_near and times[-1] - times[0] <= bounds.max_span:
                yield places


def _choose_items(elements: list[frozenset[str]], length: int) -> Iterator[Sequence]:
    """All sequences of so many items at most that have a part of each element, which is not empty."""
    if not elements:
        yield ()
        return
    first, *others = elements
    for size in range(1, min(len(first), length - len(others)) + 1):
        for items in combinations(sorted(first), size):
            for rest in _choose_items(others, length - size):
                yield (frozenset(items), *rest)
