"""The slow, obvious join that tests compare the fast one with: every pair, one at a time, in plain Python."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import cast

from kinfolk.settings import GroupSettings, JoinSettings, SetMeasure, TokenSettings, VectorMeasure


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


def vector_similarity(left: Sequence[float], right: Sequence[float], measure: VectorMeasure) -> float:
    """How alike two vectors are; the distance counts with a minus.

    >>> vector_similarity([3.0, 4.0], [0.0, 0.0], "euclidean")
    -5.0
    """
    if measure == "cosine":
        return cosine(left, right)
    if measure == "euclidean":
        return -math.sqrt(math.fsum((a - b) * (a - b) for a, b in zip(left, right, strict=True)))
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


def join_by_brute_force(
    vectors: Mapping[str, Sequence[float]],
    others: Mapping[str, Sequence[float]] | None = None,
    *,
    settings: JoinSettings,
) -> OracleJoin:
    """Join items, with themselves or with others, by comparing each with each; vectors are of one length and finite.

    Of two sides, copies and groups are those of the left one.
    """
    copies, measure = _find_copies(vectors), cast(VectorMeasure, settings.measure)
    bases = vectors if others is None else others
    base_ids = sorted(set(bases) - set(_find_copies(bases)))
    least = settings.threshold if measure != "euclidean" or settings.threshold is None else -settings.threshold
    pairs: dict[tuple[str, str], float] = {}
    neighbors: dict[tuple[str, int], tuple[str, float]] = {}
    for left in sorted(set(vectors) - set(copies)):
        similarities = {
            right: vector_similarity(vectors[left], bases[right], measure)
            for right in base_ids
            if others is not None or right != left
        }
        if least is not None:
            alike = {right: s for right, s in similarities.items() if s >= least}
            pairs |= {(left, right): s for right, s in alike.items() if others is not None or left < right}
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


def expand_links(pairs: Mapping[tuple[str, str], float], copies: Mapping[str, str]) -> dict[tuple[str, str], float]:
    """Links between all items, from either side: what holds of an item holds of its copies, which are infinitely alike.

    `copies` give each copy's representative.
    """
    alike: dict[str, set[str]] = {item: {item} for item in [*copies.values(), *(end for pair in pairs for end in pair)]}
    for copy, representative in copies.items():
        alike[representative].add(copy)
    links = {(a, b): math.inf for same in alike.values() for a in same for b in same if a != b}
    for (left, right), similarity in pairs.items():
        for a in alike[left]:
            for b in alike[right]:
                links[a, b] = links[b, a] = similarity
    return links


@dataclass(frozen=True)
class OracleGroup:
    """Members, the least similarity that is needed to connect them (infinite for copies), and most hops between two."""

    members: frozenset[str]
    weakest_link: float
    diameter: int


def split_groups(links: Mapping[tuple[str, str], float], settings: GroupSettings) -> set[OracleGroup]:
    """The groups that links from either side form, each cut at its weakest links until it keeps to the settings."""
    waiting = _connect(frozenset(item for link in links for item in link), links, -math.inf)
    groups = set()
    while waiting:
        members = waiting.pop()
        if len(members) < 2:
            continue
        weakest = max(s for s in links.values() if len(_connect(members, links, s, is_included=True)) == 1)
        diameter = max(max(_count_hops(item, members, links).values()) for item in members)
        is_within = diameter <= settings.max_hops and len(members) <= settings.max_items
        if is_within or weakest == math.inf:
            groups.add(OracleGroup(members, weakest, diameter))
        else:
            waiting += _connect(members, links, weakest)
    return groups


def _connect(
    members: frozenset[str], links: Mapping[tuple[str, str], float], bound: float, *, is_included: bool = False
) -> list[frozenset[str]]:
    """The parts into which links above the bound connect the members."""
    kept = [
        link for link, s in links.items() if members.issuperset(link) and (s > bound or (is_included and s == bound))
    ]
    first = find_groups([*kept, *((item, item) for item in members)])
    return [frozenset(item for item in members if first[item] == label) for label in set(first.values())]


def _count_hops(source: str, members: frozenset[str], links: Mapping[tuple[str, str], float]) -> dict[str, int]:
    hops = {source: 0}
    for item in (queue := [source]):
        for neighbor in members - set(hops):
            if (item, neighbor) in links:
                hops[neighbor] = hops[item] + 1
                queue.append(neighbor)
    return hops


def _find_copies(vectors: Mapping[str, Sequence[float]]) -> dict[str, str]:
    first_of: dict[tuple[float, ...], str] = {}
    return {
        item: first for item in sorted(vectors) if (first := first_of.setdefault(tuple(vectors[item]), item)) != item
    }


def split_tokens(text: str, tokens: TokenSettings) -> set[tuple[str, ...]]:
    """The tokens of a text: its runs of `tokens.length` units, or all its units where there are fewer."""
    units = _split_words(text) if tokens.unit == "words" else list(" ".join(_lower(text).split()))
    if len(units) < tokens.length:
        return {tuple(units)} if units else set()
    return {tuple(units[start : start + tokens.length]) for start in range(len(units) - tokens.length + 1)}


def set_similarity(left: Set[object], right: Set[object], measure: SetMeasure) -> float:
    """How alike two sets are; neither is empty.

    >>> set_similarity({1, 2, 3}, {2, 3, 4}, "jaccard"), set_similarity({1, 2}, {2, 3, 4}, "containment")
    (0.5, 0.5)
    """
    common = len(left & right)
    sizes = {"jaccard": len(left | right), "containment": min(len(left), len(right)), "overlap": 1}
    return common / sizes[measure]


def join_sets_by_brute_force(
    left: Sequence[Set[object]], right: Sequence[Set[object]] | None, *, settings: JoinSettings
) -> tuple[dict[tuple[int, int], float], list[list[tuple[int, float]]]]:
    """The similar pairs, by codes, and the neighbours of each set of the left side, of sets compared each with each."""
    pairs: dict[tuple[int, int], float] = {}
    neighbors = []
    for row, one in enumerate(left):
        others = enumerate(left if right is None else right)
        similarities = {
            code: set_similarity(one, other, cast(SetMeasure, settings.measure))
            for code, other in others
            if right is not None or code != row
        }
        if settings.threshold is not None:
            is_pair = {
                code: s >= settings.threshold and (right is not None or row < code) for code, s in similarities.items()
            }
            pairs |= {(row, code): s for code, s in similarities.items() if is_pair[code]}
        nearest = sorted(
            (found for found in similarities.items() if found[1] > 0), key=lambda found: (-found[1], found[0])
        )
        neighbors.append(nearest[: settings.neighbors])
    return pairs, neighbors


def _split_words(text: str) -> list[str]:
    categories = [unicodedata.category(character) for character in text]
    is_part = [category[0] in "LM" or category == "Nd" for category in categories]
    return "".join(_lower(c) if part else " " for c, part in zip(text, is_part, strict=True)).split()


def _lower(text: str) -> str:
    """Each character's lower case; the only one that has two characters there, U+0130, becomes the first of them."""
    return "".join(character.lower()[0] for character in text)
