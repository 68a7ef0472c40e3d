"""The guard against chaining: a group in which a is like b, b like c and so on to z is cut where its links are weakest.

The rule, as one would do it by hand: a part that is too large or whose members are too many hops apart loses all the
weakest links of its maximum spanning tree at once, and each part that is left is looked at anew. It depends on the
pairs alone, neither on their order nor on the choice of the tree.

Done faster: hops within a part only grow when members leave it. So where two members are too far apart, every part
that holds them both will be cut, down to the weakest link between the two; what comes off on the way needs to be looked
at, the part that is left needs not. The same holds of a part's size (the links by which members hang together best are
those of single linkage; Gower and Ross, Minimum spanning trees and single linkage cluster analysis, 1969).

Shape suffixes: N items, M items of one part, N1 one more than items.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.kernels.compiling import compiled
from kinfolk.similarity.groups.hops import Codes, Graph, Places, Scratch, make_scratch, measure_part, search_from


class Limits(NamedTuple):
    """Most hops between two members of a part, and most its members may weigh together."""

    max_hops: int
    max_weight: int


class Parts(NamedTuple):
    """Parts as stretches of `member_N`, each labelled by the place at which it begins.

    Of each item the label of its part; of each label the place behind the part's last member, the weakest link of its
    tree (infinite where there is none), and its diameter once it is within the limits. Of each item of a part that is
    about to be split, the level at which it comes off: links up to it are cut; infinitely low for the part's core.
    While parts are split, links and levels are ranks, from 0 for the weakest link there is.
    """

    member_N: Places
    part_N: Codes
    end_N: Codes
    weakest_N: NDArray[np.float64]
    diameter_N: Codes
    level_N: NDArray[np.float64]


def split_chains(pairs: Graph, forest: Graph, weight_N: Codes, limits: Limits) -> Parts:
    """Split the items into parts within the limits, as few as the rule of this module gives.

    `forest` is a maximum spanning forest of `pairs`; an item weighs what `weight_N` says. A part of one item is never
    too large.
    """
    items = len(weight_N)
    parts = Parts(
        member_N=np.arange(items, dtype=np.int32),
        part_N=np.full(items, -1),
        end_N=np.zeros(items, np.int64),
        weakest_N=np.full(items, np.inf),
        diameter_N=np.zeros(items, np.int64),
        level_N=np.full(items, -np.inf),
    )
    strengths, rank_L = np.unique(forest.similarity_L, return_inverse=True)
    ranked = forest._replace(similarity_L=rank_L.astype(np.float64))
    _split(pairs, ranked, weight_N, limits, parts, make_scratch(items))
    is_linked = np.isfinite(parts.weakest_N)
    parts.weakest_N[is_linked] = strengths[parts.weakest_N[is_linked].astype(np.int64)]
    return parts


@compiled
def _split(pairs: Graph, forest: Graph, weight_N: Codes, limits: Limits, parts: Parts, scratch: Scratch) -> None:
    """Look at one stretch of members after the other; one that is split is looked at again, from its first part."""
    _separate(forest, parts, 0, len(weight_N), scratch)
    start = 0
    while start < len(weight_N):
        member_M = parts.member_N[start : parts.end_N[start]]
        source = _find_offender(pairs, weight_N, limits, member_M, parts, scratch)
        if source < 0:
            start = parts.end_N[start]
            continue
        search_from(source, pairs, parts.part_N, member_M, scratch)
        _find_levels(source, forest, parts, member_M, scratch)
        _keep_core(weight_N, limits, member_M, parts, scratch)
        _separate(forest, parts, start, parts.end_N[start], scratch)


@compiled
def _find_offender(
    pairs: Graph, weight_N: Codes, limits: Limits, member_M: Places, parts: Parts, scratch: Scratch
) -> int:
    """A member from which the part's breach of the limits shows, or -1 where it keeps to them."""
    weight = 0
    for item in member_M:
        weight += weight_N[item]
    if len(member_M) == 1:
        # The part that it was cut from had the same place, and another diameter.
        parts.diameter_N[parts.part_N[member_M[0]]] = 0
        return -1
    if weight > limits.max_weight:
        return int(member_M[0])
    diameter, source = measure_part(pairs, parts.part_N, member_M, limits.max_hops, scratch)
    parts.diameter_N[parts.part_N[member_M[0]]] = diameter
    return source


@compiled
def _find_levels(source: int, forest: Graph, parts: Parts, member_M: Places, scratch: Scratch) -> None:
    """Set each member's level to the weakest link between it and the source; that of the source is infinite."""
    level_N, part_N = parts.level_N, parts.part_N
    for item in member_M:
        level_N[item] = -np.inf
    level_N[source] = np.inf
    scratch.queue_N[0] = source
    filled = 1
    for place in range(len(member_M)):
        item = scratch.queue_N[place]
        for link in range(forest.start_N1[item], forest.start_N1[item + 1]):
            neighbor = forest.neighbor_L[link]
            if part_N[neighbor] == part_N[item] and level_N[neighbor] == -np.inf:
                level_N[neighbor] = min(level_N[item], forest.similarity_L[link])
                scratch.queue_N[filled] = neighbor
                filled += 1


@compiled
def _keep_core(weight_N: Codes, limits: Limits, member_M: Places, parts: Parts, scratch: Scratch) -> None:
    """Let the core have no level: what stays with the source when the part is cut until it may stay whole.

    It may not while a member is too many hops from the source, or while all that have a certain level, or a higher one,
    weigh too much.
    """
    bound = _find_heavy_level(weight_N, limits.max_weight, member_M, parts.level_N)
    for item in member_M:
        if scratch.hops_N[item] > limits.max_hops:
            bound = max(bound, parts.level_N[item])
    for item in member_M:
        if parts.level_N[item] > bound:
            parts.level_N[item] = -np.inf


@compiled
def _find_heavy_level(weight_N: Codes, max_weight: int, member_M: Places, level_N: NDArray[np.float64]) -> float:
    """The greatest level of which the members, with those of higher ones, weigh too much; -1 where there is none."""
    low, high = -1.0, 0.0
    for item in member_M:
        if level_N[item] < np.inf:
            high = max(high, level_N[item])
    while low < high:
        middle = np.ceil((low + high) / 2)
        weight = 0
        for item in member_M:
            if level_N[item] >= middle:
                weight += weight_N[item]
        if weight > max_weight:
            low = middle
        else:
            high = middle - 1
    return low


@compiled
def _separate(forest: Graph, parts: Parts, start: int, end: int, scratch: Scratch) -> None:
    """Make a part of what hangs together among the members from start to end by links above their common level."""
    for item in parts.member_N[start:end]:
        parts.part_N[item] = -1
    label = start
    for seed in parts.member_N[start:end]:
        if parts.part_N[seed] < 0:
            parts.end_N[label] = _gather_part(seed, label, forest, parts, scratch)
            label = parts.end_N[label]
    for place in range(start, end):
        parts.member_N[place] = scratch.queue_N[place]


@compiled
def _gather_part(seed: int, label: int, forest: Graph, parts: Parts, scratch: Scratch) -> int:
    """Queue the part of a seed from place `label` on; return the place behind it.

    The first comes to be an end of the strongest link: a search from there finds members that are too far away while
    the part's core, which it belongs to, holds together longest.
    """
    queue_N, part_N, level_N = scratch.queue_N, parts.part_N, parts.level_N
    strongest, weakest, first = -np.inf, np.inf, label
    queue_N[label] = seed
    part_N[seed] = label
    place, end = label, label + 1
    while place < end:
        item = queue_N[place]
        for link in range(forest.start_N1[item], forest.start_N1[item + 1]):
            neighbor, similarity = forest.neighbor_L[link], forest.similarity_L[link]
            if part_N[neighbor] < 0 and level_N[neighbor] == level_N[item] and similarity > level_N[item]:
                part_N[neighbor] = label
                queue_N[end] = neighbor
                end += 1
                weakest = min(weakest, similarity)
                if similarity > strongest:
                    strongest, first = similarity, place
        place += 1
    parts.weakest_N[label] = weakest
    queue_N[label], queue_N[first] = queue_N[first], queue_N[label]
    return end
