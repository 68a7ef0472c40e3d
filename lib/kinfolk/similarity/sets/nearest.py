"""The nearest neighbours of each set, exactly: common tokens are counted along postings, the rarest tokens first.

For one row the postings of its tokens are gone through from the shortest to the longest, and each item met there gets a
point. Slots of postings may be shared by several tokens, so points are at least the common tokens met so far. Once the
lists that are left cannot bring an item not met yet among the nearest, the rest is left out; the common and long lists
are seldom needed where a row has close neighbours. Candidates are then measured on the sets themselves, those that may
be nearest first, until no other may be as near.

Under containment a tiny set may be contained in whatever tokens are left, so every list is gone through.

Shape suffixes: N items, K neighbours, L lists of a row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.kernels.compiling import Whole, inlined, kernel
from kinfolk.settings import SetMeasure
from kinfolk.similarity.effort import Effort, split_items, spread
from kinfolk.similarity.found import Neighbors
from kinfolk.similarity.sets.items import ItemSets
from kinfolk.similarity.sets.prefix import (
    Index,
    Probe,
    count_tokens,
    list_rarest,
    make_postings,
    make_sides,
)
from kinfolk.similarity.sets.shingles import Workspace, count_common, make_workspace, read_set
from kinfolk.similarity.sets.sketches import CONTAINMENT, JACCARD, make_rule, similarity_of

_ROWS_A_JOB = 512
_FIRST_CHECK = 512
"""Postings gone through before it is first asked whether the rest may be left out."""


class Nearest(NamedTuple):
    """The best so far, the most similar first, equal ones by place; -1 and -inf where there are fewer."""

    similarity_K: NDArray[np.float64]
    place_K: NDArray[np.int64]


class Tally(NamedTuple):
    """Points of the items met by one row: `points_N`, and which they are, `met_N`, in no order.

    `lists_L` has room for the lists of any row, and `guess` for what its nearest seem to be.
    """

    points_N: NDArray[np.int32]
    met_N: NDArray[np.int32]
    lists_L: NDArray[np.int64]
    guess: Nearest


def find_neighbors(
    left: ItemSets, right: ItemSets | None, measure: SetMeasure, count: int, effort: Effort
) -> Neighbors:
    """The nearest items of each of a share's rows: t, t + T, … of the left side; none has a similarity of 0."""
    sides = make_sides(left, right, effort.threads, is_by_size=False)
    count_S = count_tokens(sides, effort.threads)
    slots = [list_rarest(side, side.sizes(), side.sizes(), count_S, effort.threads) for side in sides]
    share, shares = effort.share
    probe = Probe(sides[0].source, sides[0].record_NW, slots[0], share, shares)
    index = Index(sides[-1].source, sides[-1].record_NW, make_postings(slots[-1]))
    rows = np.arange(share, len(left), shares)
    neighbors = Neighbors(rows, np.full((len(rows), count), -1), np.full((len(rows), count), -np.inf))

    def find_part(part: range) -> None:
        work = make_workspace(probe.source, index.source)
        items = len(index.record_NW)
        lists_L = np.empty(int(probe.slots.count_N.max(initial=0)), np.int64)
        guess = Nearest(np.empty(count), np.empty(count, np.int64))
        tally = Tally(np.zeros(items, np.int32), np.empty(items, np.int32), lists_L, guess)
        what = (make_rule(measure, 0.0).measure, right is None, part.stop)
        _find_rows(probe, index, part.start, what, (work, tally), (neighbors.similarity_NK, neighbors.code_NK))

    spread(find_part, split_items(len(rows), _ROWS_A_JOB), effort.threads)
    return neighbors


@kernel
def _find_rows(
    probe: Probe,
    index: Index,
    first: Whole,
    what: tuple[int, bool, Whole],
    room: tuple[Workspace, Tally],
    found: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> None:
    """Find the neighbours of the rows from `first` on."""
    measure, is_self_join, last = what
    work, tally = room
    similarity_NK, code_NK = found
    for line in range(first, last):
        row = probe.share + line * probe.shares
        nearest = Nearest(similarity_NK[line], code_NK[line])
        own = row if is_self_join else np.int64(-1)
        lists = _sort_lists(probe, index, row, tally.lists_L)
        # Once more without leaving anything out, where what was left out turns out to matter.
        for is_hasty in (True, False):
            met, left = _count_points(probe, index, (row, own, measure, is_hasty), lists, tally)
            _measure_met(probe, index, (row, measure, met, left), work, tally, nearest)
            for m in range(met):
                tally.points_N[tally.met_N[m]] = 0
            size = np.int64(probe.record_NW[row, 0])
            if not left or nearest.similarity_K[-1] > _most_unmet(measure, left, size):
                break


@kernel
def _sort_lists(probe: Probe, index: Index, row: Whole, lists_L: NDArray[np.int64]) -> Whole:
    """Write the slots of a row, those with the fewest postings first; returns their number.

    The slot is in the lower half, the number of postings in the upper.
    """
    start_N, count_N, _, slot_P = probe.slots
    start_S = index.postings.start_S
    mask = np.uint32(len(start_S) - 2)
    for n in range(count_N[row]):
        slot = np.int64(slot_P[start_N[row] + n] & mask)
        lists_L[n] = (start_S[slot + 1] - start_S[slot]) << 32 | slot
    _sort_least_first(lists_L, count_N[row])
    return np.int64(count_N[row])


@kernel
def _sort_least_first(lists_L: NDArray[np.int64], count: Whole) -> None:
    """Sort the first numbers of an array (Shell, A high-speed sorting procedure, 1959)."""
    gap: Whole = count // 2
    while gap > 0:
        for n in range(gap, count):
            moved = lists_L[n]
            place: Whole = n
            while place >= gap and lists_L[place - gap] > moved:
                lists_L[place] = lists_L[place - gap]
                place -= gap
            lists_L[place] = moved
        gap //= 2


@kernel
def _count_points(
    probe: Probe,
    index: Index,
    what: tuple[Whole, Whole, int, bool],
    lists: Whole,
    tally: Tally,
) -> tuple[Whole, Whole]:
    """Go through the lists; returns how many items were met, and how many lists were left out."""
    row, own, measure, is_hasty = what
    start_S, item_P = index.postings
    points_N, met_N, lists_L, guess = tally
    size = np.int64(probe.record_NW[row, 0])
    met, gone, check = 0, 0, _FIRST_CHECK
    for n in range(lists):
        slot = lists_L[n] & 0xFFFFFFFF
        gone += start_S[slot + 1] - start_S[slot]
        if is_hasty and gone > check and measure != CONTAINMENT:
            check = 2 * gone
            _guess_nearest(index, (size, measure, met, np.int64(0)), tally)
            if guess.similarity_K[-1] > _most_unmet(measure, lists - n, size):
                return met, lists - n
        for posting in range(start_S[slot], start_S[slot + 1]):
            other = np.int64(item_P[posting])
            if other == own:
                continue
            if not points_N[other]:
                met_N[met] = other
                met += 1
            points_N[other] += np.int32(1)
    return met, 0


@kernel
def _most_unmet(measure: int, left: Whole, size: Whole) -> float:
    """The most similar that an item can be with which only tokens of the last `left` lists are common."""
    if measure == JACCARD:
        return left / size
    return float(left) if measure != CONTAINMENT else 1.0


@kernel
def _guess_nearest(index: Index, what: tuple[Whole, Whole, Whole, Whole], tally: Tally) -> None:
    """The nearest of the items met, taking their points and those of the lists left out for common tokens."""
    size, measure, met, left = what
    guess = tally.guess
    guess.similarity_K[:] = -np.inf
    guess.place_K[:] = -1
    for m in range(met):
        other = np.int64(tally.met_N[m])
        _offer(guess, _most_similar(index, (size, measure, left), other, tally.points_N[other]), other)


@inlined
def _most_similar(index: Index, what: tuple[Whole, Whole, Whole], other: Whole, points: Whole) -> float:
    size, measure, left = what
    other_size = np.int64(index.record_NW[other, 0])
    return similarity_of(measure, min(points + left, size, other_size), size, other_size)


@kernel
def _measure_met(
    probe: Probe,
    index: Index,
    what: tuple[Whole, Whole, Whole, Whole],
    work: Workspace,
    tally: Tally,
    nearest: Nearest,
) -> None:
    """Measure those items met that may be among the nearest; those that seem to be come first."""
    row, measure, met, left = what
    guess = tally.guess
    size, slots = read_set(probe.source, row, work)
    nearest.similarity_K[:] = -np.inf
    nearest.place_K[:] = -1
    _guess_nearest(index, (size, measure, met, left), tally)
    for m in range(-len(guess.place_K), met):
        other = guess.place_K[m + len(guess.place_K)] if m < 0 else np.int64(tally.met_N[m])
        if other < 0 or tally.points_N[other] < 0:
            continue
        if not _is_better(nearest, _most_similar(index, (size, measure, left), other, tally.points_N[other]), other):
            continue
        # Measured; points below 0 say so.
        tally.points_N[other] = np.int32(-1)
        common = count_common(index.source, other, slots, work)
        if common:
            _offer(nearest, similarity_of(measure, common, size, np.int64(index.record_NW[other, 0])), other)


@inlined
def _is_better(nearest: Nearest, similarity: float, place: Whole) -> bool:
    """Whether an item of this similarity is nearer than the last one."""
    last = nearest.similarity_K[-1]
    return bool(similarity > last or (similarity == last and place < nearest.place_K[-1]))


@kernel
def _offer(nearest: Nearest, similarity: float, place: Whole) -> None:
    """Put an item where it belongs among the nearest, if it does."""
    if not _is_better(nearest, similarity, place):
        return
    similarity_K, place_K = nearest
    k = len(place_K) - 1
    while k > 0 and (
        similarity_K[k - 1] < similarity or (similarity_K[k - 1] == similarity and place_K[k - 1] > place)
    ):
        similarity_K[k], place_K[k] = similarity_K[k - 1], place_K[k - 1]
        k -= 1
    similarity_K[k], place_K[k] = similarity, place
