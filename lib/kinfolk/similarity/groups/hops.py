"""Hops: the fewest pairs on a way between two items, and the most that any two members of a part need.

A part is some of the items, with all pairs among them; ways through other items do not count. So hops never become
fewer when a part loses members, which is what the search in `chaining` rests on.

The diameter is found exactly, without a search from every member. A few breadth-first searches bound each member's
eccentricity, the most hops from it to any other (Takes and Kosters, Determining the diameter of small world networks,
CIKM 2011). What they leave open is searched from the rim inwards until no pair of what remains can be further apart
than what was seen: both are at most i hops from the centre, so at most 2i from each other (Crescenzi et al., On
computing the diameter of real-world undirected graphs, 2013). Those last searches go 64 at a time, one a bit of a word
(Then et al., The more the merrier: efficient multi-source graph traversal, VLDB 2014).

Shape suffixes: N items, N1 one more, L links (each pair once from either side), S sources.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from kinfolk.kernels.compiling import compiled

SWEEPS = 6
"""Searches from one member each, before the others are searched from many at a time."""

LANES = 64
"""Bits of a word."""

FAR = 2**31 - 1
"""More hops than there can be."""

Codes = NDArray[np.int64]
Places = NDArray[np.int32]


class Graph(NamedTuple):
    """Links of every item: item i's are `start_N1[i]` to `start_N1[i + 1]`, each to a neighbour, of some similarity."""

    start_N1: Codes
    neighbor_L: Places
    similarity_L: NDArray[np.float64]


class Scratch(NamedTuple):
    """What searches write, of every item of the part in which they run.

    The part's items in the order in which they were reached; hops from the source; the least and the most that the
    eccentricity can be; as bits the sources that have reached an item, that did so in the last step, and in this one.
    """

    queue_N: Places
    hops_N: Places
    least_N: Places
    most_N: Places
    seen_N: NDArray[np.uint64]
    last_N: NDArray[np.uint64]
    next_N: NDArray[np.uint64]


def make_graph(left_P: Codes, right_P: Codes, similarity_P: NDArray[np.float64], items: int) -> Graph:
    """A graph of pairs of different items, each pair linked from both sides."""
    ends = (np.concatenate([left_P, right_P]), np.concatenate([right_P, left_P]))
    rows = coo_array((np.concatenate([similarity_P, similarity_P]), ends), shape=(items, items)).tocsr()
    return Graph(rows.indptr.astype(np.int64), rows.indices.astype(np.int32), rows.data)


def make_scratch(items: int) -> Scratch:
    """Room for searches among so many items."""
    queue_N, hops_N, least_N, most_N = (np.empty(items, np.int32) for _ in range(4))
    return Scratch(queue_N, hops_N, least_N, most_N, *(np.empty(items, np.uint64) for _ in range(3)))


@compiled
def measure_part(graph: Graph, part_N: Codes, member_M: Places, max_hops: int, scratch: Scratch) -> tuple[int, int]:
    """The diameter of a connected part, and -1; or hops that exceed `max_hops`, and a member from which they show.

    `member_M` are the part's items, which have one label in `part_N`; the search begins at the first.
    """
    if len(member_M) <= LANES:
        diameter, source = _search_many(graph, part_N, member_M, member_M, scratch)
        return diameter, source if diameter > max_hops else -1
    for item in member_M:
        scratch.least_N[item], scratch.most_N[item] = 0, FAR
    diameter, radius, center, source = 0, len(member_M), member_M[0], member_M[0]
    for sweep in range(SWEEPS):
        hops = search_from(source, graph, part_N, member_M, scratch)
        if hops > max_hops:
            return hops, source
        diameter = max(diameter, hops)
        if hops < radius:
            radius, center = hops, source
        if 2 * radius <= diameter:
            return diameter, -1
        source = _narrow_bounds(member_M, hops, scratch, sweep % 2 == 0)
    search_from(center, graph, part_N, member_M, scratch)
    return _search_rim(graph, part_N, member_M, (diameter, max_hops), scratch)


@compiled
def search_from(source: int, graph: Graph, part_N: Codes, member_M: Places, scratch: Scratch) -> int:
    """Fill in the hops from a member to all others of its part, and queue them by hops; return the most."""
    hops_N, queue_N = scratch.hops_N, scratch.queue_N
    for item in member_M:
        hops_N[item] = -1
    hops_N[source] = 0
    queue_N[0] = source
    filled = 1
    for place in range(len(member_M)):
        item = queue_N[place]
        for link in range(graph.start_N1[item], graph.start_N1[item + 1]):
            neighbor = graph.neighbor_L[link]
            if part_N[neighbor] == part_N[item] and hops_N[neighbor] < 0:
                hops_N[neighbor] = hops_N[item] + 1
                queue_N[filled] = neighbor
                filled += 1
    return int(hops_N[queue_N[filled - 1]])


@compiled
def _narrow_bounds(member_M: Places, hops: int, scratch: Scratch, is_rim_next: bool) -> int:
    """Learn from a search that took `hops` what all eccentricities can be; return the member to search from next.

    That is one that may be furthest out, or one that may be most central, by turns.
    """
    best, best_rank = member_M[0], -FAR
    for item in member_M:
        away = scratch.hops_N[item]
        scratch.least_N[item] = max(scratch.least_N[item], away, hops - away)
        scratch.most_N[item] = min(scratch.most_N[item], hops + away)
        if scratch.least_N[item] < scratch.most_N[item]:
            rank = scratch.most_N[item] if is_rim_next else -scratch.least_N[item]
            if rank > best_rank:
                best, best_rank = item, rank
    return int(best)


@compiled
def _search_rim(
    graph: Graph, part_N: Codes, member_M: Places, known: tuple[int, int], scratch: Scratch
) -> tuple[int, int]:
    """Finish what `measure_part` left open; `known` are the diameter so far and the most hops allowed.

    The queue holds the members by their hops from the centre.
    """
    diameter, max_hops = known
    source_S = np.empty(LANES, np.int32)
    waiting, place = 0, len(member_M)
    while place > 0:
        place -= 1
        item = scratch.queue_N[place]
        is_rim = 2 * scratch.hops_N[item] > diameter
        if is_rim and scratch.most_N[item] > diameter:
            source_S[waiting] = item
            waiting += 1
        if waiting == LANES or (waiting and (place == 0 or not is_rim)):
            hops, source = _search_many(graph, part_N, member_M, source_S[:waiting], scratch)
            if hops > max_hops:
                return hops, source
            diameter, waiting = max(diameter, hops), 0
        if not is_rim:
            break
    return diameter, -1


@compiled
def _search_many(graph: Graph, part_N: Codes, member_M: Places, source_S: Places, scratch: Scratch) -> tuple[int, int]:
    """The most hops from any of up to 64 sources to any member of their part, and a source that needs so many."""
    seen_N, last_N, next_N = scratch.seen_N, scratch.last_N, scratch.next_N
    for item in member_M:
        seen_N[item] = last_N[item] = np.uint64(0)
    everyone, bit = np.uint64(0), np.uint64(1)
    for source in source_S:
        seen_N[source] = bit
        last_N[source] = bit
        everyone |= bit
        bit <<= np.uint64(1)
    hops, moving = 0, everyone
    while True:
        gained = np.uint64(0)
        for item in member_M:
            next_N[item] = _gather_bits(item, graph, part_N, everyone, scratch)
            gained |= next_N[item]
        if not gained:
            break
        hops, moving = hops + 1, gained
        for item in member_M:
            seen_N[item] |= next_N[item]
            last_N[item] = next_N[item]
    lane = 0
    while not (moving >> np.uint64(lane)) & np.uint64(1):
        lane += 1
    return hops, int(source_S[lane])


@compiled
def _gather_bits(item: int, graph: Graph, part_N: Codes, everyone: np.uint64, scratch: Scratch) -> np.uint64:
    """The sources that reach an item in this step: those that reached a neighbour in the last, and not yet the item."""
    missing = everyone & ~scratch.seen_N[item]
    bits = np.uint64(0)
    for link in range(graph.start_N1[item], graph.start_N1[item + 1]):
        # Where many are about to arrive, a few neighbours bring them all.
        if not missing & ~bits:
            break
        neighbor = graph.neighbor_L[link]
        if part_N[neighbor] == part_N[item]:
            bits |= scratch.last_N[neighbor]
    arriving: np.uint64 = bits & missing
    return arriving
