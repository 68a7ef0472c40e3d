"""How well embeddings find what belongs together: recall, reciprocal rank and average precision, from ranked lists.

An item is one drawing, photograph or text of a subject. A query asks for the other items of its subject in the gallery,
and looks for them among pictures of other sources. Shapes: Q queries, G gallery items, D embedding size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

RECALL_AT = (1, 5, 10)
_BLOCK_QUERIES = 256


@dataclass(frozen=True)
class HeldOut:
    """What is known of the items that are evaluated, row by row: codes are equal where the things are.

    `labels` is -1 where an item has none.
    """

    subjects: IntArray
    labels: IntArray
    sources: IntArray


@dataclass(frozen=True)
class Side:
    """Queries or gallery: the rows of `HeldOut` that take part, and their vectors [N, D] in the same order."""

    rows: IntArray
    vectors: FloatArray


def evaluate_retrieval(queries: Side, gallery: Side, items: HeldOut, *, is_same_modality: bool) -> dict[str, float]:
    """Average the figures over directions: the queries of one source against the gallery of all other sources.

    Where there is one source only, its queries meet its own gallery, in the same modality without the item itself.
    Figures: `recall_at_1`, `_5`, `_10` (share of the queries with an item of their subject among the first k),
    `mean_reciprocal_rank` (of the first such item), `mean_average_precision` (where the relevant items are those of
    the same label), `chance_at_1`, `_5`, `_10` (expected recall of a random order), `queries` (of all directions) and
    `gallery` (items met by a query, on average). Queries without a relevant item in the gallery are left out. Ties
    count against the query. Where no query can be asked, the result is empty.
    """
    query_sources = items.sources[queries.rows]
    gallery_sources = items.sources[gallery.rows]
    has_one_source = len(np.unique(np.concatenate([query_sources, gallery_sources]))) == 1
    directions = []
    for source in np.unique(query_sources):
        asked = _select(queries, query_sources == source)
        offered = gallery if has_one_source else _select(gallery, gallery_sources != source)
        figures = rank_figures(asked, offered, items, leave_out_itself=has_one_source and is_same_modality)
        directions += [figures] if figures else []
    return _average(directions)


def rank_figures(queries: Side, gallery: Side, items: HeldOut, *, leave_out_itself: bool) -> dict[str, float]:
    """The figures of one direction; see `evaluate_retrieval`."""
    first_ranks, precisions, chances, met = [], [], [], []
    for block in _blocks(queries):
        is_met = np.ones((len(block.rows), len(gallery.rows)), dtype=np.bool_)
        if leave_out_itself:
            is_met = block.rows[:, None] != gallery.rows
        similarity = np.where(is_met, block.vectors @ gallery.vectors.T, -np.inf)
        same_subject = is_met & (items.subjects[block.rows][:, None] == items.subjects[gallery.rows])
        labels = items.labels[block.rows][:, None]
        same_label = is_met & (labels == items.labels[gallery.rows]) & (labels >= 0)
        first_ranks.append(rank_first(similarity, same_subject))
        precisions.append(average_precision(similarity, same_label))
        met.append(is_met.sum(1))
        chances.append(chance_of_recall(same_subject.sum(1), met[-1]))
    ranks = np.concatenate(first_ranks) if first_ranks else np.empty(0)
    if not np.isfinite(ranks).any():
        return {}
    asked = np.isfinite(ranks)
    figures = {f"recall_at_{k}": float((ranks[asked] <= k).mean()) for k in RECALL_AT}
    figures["mean_reciprocal_rank"] = float((1 / ranks[asked]).mean())
    figures |= {f"chance_at_{k}": float(np.concatenate([c[k] for c in chances])[asked].mean()) for k in RECALL_AT}
    precision = np.concatenate(precisions)
    if np.isfinite(precision).any():
        figures["mean_average_precision"] = float(precision[np.isfinite(precision)].mean())
    return figures | {"queries": float(asked.sum()), "gallery": float(np.concatenate(met)[asked].mean())}


def rank_first(similarity_QG: FloatArray, is_relevant_QG: BoolArray) -> npt.NDArray[np.float64]:
    """Rank, from 1, of each query's most similar relevant item; infinite where it has none.

    >>> rank_first(np.array([[0.9, 0.5, 0.7]]), np.array([[False, False, True]]))
    array([2.])
    """
    best_Q = np.where(is_relevant_QG, similarity_QG, -np.inf).max(1, initial=-np.inf)
    ahead_Q = (~is_relevant_QG & (similarity_QG >= best_Q[:, None])).sum(1)
    return np.where(is_relevant_QG.any(1), ahead_Q + 1.0, np.inf)


def average_precision(similarity_QG: FloatArray, is_relevant_QG: BoolArray) -> npt.NDArray[np.float64]:
    """Mean, over a query's relevant items, of the share of relevant items down to each; not a number where it has none.

    >>> average_precision(np.array([[0.9, 0.5, 0.7]]), np.array([[True, True, False]])).round(3)
    array([0.833])
    """
    order_QG = np.lexsort((is_relevant_QG, -similarity_QG), axis=1)
    ranked_QG = np.take_along_axis(is_relevant_QG, order_QG, 1)
    found_QG = ranked_QG.cumsum(1)
    precision_QG = found_QG / np.arange(1, ranked_QG.shape[1] + 1)
    count_Q = ranked_QG.sum(1)
    total_Q = np.where(ranked_QG, precision_QG, 0.0).sum(1)
    precisions: npt.NDArray[np.float64] = np.divide(
        total_Q, count_Q, out=np.full(len(count_Q), np.nan), where=count_Q > 0
    )
    return precisions


def chance_of_recall(relevant_Q: IntArray, gallery_Q: IntArray) -> dict[int, npt.NDArray[np.float64]]:
    """Chance, for each k of RECALL_AT, that a random order has a relevant item among the first k.

    >>> chance_of_recall(np.array([1]), np.array([100]))[10].round(6)
    array([0.1])
    """
    missed_Q = np.ones(len(relevant_Q))
    chances = {}
    for place in range(max(RECALL_AT)):
        left_Q = gallery_Q - place
        # Each place misses with the share of irrelevant items among those not yet placed.
        missed_Q *= np.divide(np.maximum(left_Q - relevant_Q, 0), left_Q, out=np.zeros(len(left_Q)), where=left_Q > 0)
        if place + 1 in RECALL_AT:
            chances[place + 1] = 1 - missed_Q
    return chances


def euclidean_sides(rows: IntArray, values: FloatArray) -> tuple[Side, Side]:
    """Queries and gallery of plain values [N, D], such as raw pixels, so that the greatest product is the nearest item.

    Of two items with squared distance |q|² - 2 q·g + |g|² the first term is the same for all of a query's items; one
    more coordinate brings in the last.
    """
    half_square = (values * values).sum(1, keepdims=True) / 2
    queries = np.concatenate([values, np.ones_like(half_square)], axis=1)
    return Side(rows, queries), Side(rows, np.concatenate([values, -half_square], axis=1))


def _select(side: Side, chosen: BoolArray) -> Side:
    return Side(side.rows[chosen], side.vectors[chosen])


def _blocks(side: Side) -> Iterator[Side]:
    for first in range(0, len(side.rows), _BLOCK_QUERIES):
        block = slice(first, first + _BLOCK_QUERIES)
        yield Side(side.rows[block], side.vectors[block])


def _average(directions: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each figure over the directions that have it; queries are added up."""
    names = {name: None for figures in directions for name in figures}
    averages = {name: float(np.mean([f[name] for f in directions if name in f])) for name in names}
    return averages | ({"queries": sum(f["queries"] for f in directions)} if directions else {})
