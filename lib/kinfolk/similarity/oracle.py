"""The slow, obvious join that tests compare the fast one with: every pair, one at a time, in plain Python."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kinfolk.settings import JoinSettings


@dataclass(frozen=True)
class OracleJoin:
    """What a join has to find; ids in the order in which they sort."""

    pairs: dict[tuple[str, str], float]
    neighbors: dict[tuple[str, int], tuple[str, float]]
    copies: dict[str, str]
    groups: dict[str, str]


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    """The cosine of two vectors, -1 to 1.

    >>> cosine([3.0, 4.0], [4.0, 3.0])
    0.96
    """
    dot = math.fsum(a * b for a, b in zip(left, right, strict=True))
    squares = math.fsum(a * a for a in left) * math.fsum(b * b for b in right)
    return min(1.0, max(-1.0, dot / math.sqrt(squares)))


def join_by_brute_force(vectors: Mapping[str, Sequence[float]], *, settings: JoinSettings) -> OracleJoin:
    """Join items by comparing each with each; vectors are of one length, finite and not zero."""
    copies = _find_copies(vectors)
    ids = sorted(set(vectors) - set(copies))
    pairs: dict[tuple[str, str], float] = {}
    neighbors: dict[tuple[str, int], tuple[str, float]] = {}
    for left in ids:
        similarities = {right: cosine(vectors[left], vectors[right]) for right in ids if right != left}
        pairs |= {(left, right): s for right, s in similarities.items() if left < right and s >= settings.threshold}
        nearest = sorted(similarities.items(), key=lambda found: (-found[1], found[0]))
        neighbors |= {(left, rank): found for rank, found in enumerate(nearest[: settings.neighbors], start=1)}
    return OracleJoin(pairs, neighbors, copies, find_groups([*pairs, *copies.items()]))


def find_groups(edges: Sequence[tuple[str, str]]) -> dict[str, str]:
    """For each item of the edges, the first item that it is connected with, by passing labels until none changes."""
    group = {item: item for edge in edges for item in edge}
    is_changed = True
    while is_changed:
        is_changed = False
        for left, right in edges:
            first = min(group[left], group[right])
            is_changed |= group[left] != first or group[right] != first
            group[left] = group[right] = first
    return group


def _find_copies(vectors: Mapping[str, Sequence[float]]) -> dict[str, str]:
    first_of: dict[tuple[float, ...], str] = {}
    return {
        item: first for item in sorted(vectors) if (first := first_of.setdefault(tuple(vectors[item]), item)) != item
    }
