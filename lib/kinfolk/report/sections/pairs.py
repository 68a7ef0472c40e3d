"""Some similar pairs side by side, and what makes them similar."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kinfolk.errors import DataError
from kinfolk.report.charts import BarChart, draw_bars
from kinfolk.report.formatting import format_words
from kinfolk.report.pictures import Card, read_cards
from kinfolk.report.pinned import PinnedTables, Row
from kinfolk.settings import JoinSettings, Settings
from kinfolk.tables.catalog import CLEAN_ITEMS, ITEM_EMBEDDINGS, SIMILAR_PAIRS

Value = str | Sequence[float]
"""What the join compares of an item: its text, or its embedding."""
Passage = tuple[str, bool]
"""A stretch of a text, and whether it is shared."""

_CANDIDATES = 50
"""Pairs looked at for each that is shown: an item is shown once."""
_OWN_CHARACTERS, _SHARED_CHARACTERS, _TEXT_CHARACTERS = 120, 300, 700
"""How long a passage may be that one text has alone, and one that both have; where a text ends."""


@dataclass(frozen=True)
class Reason:
    """Why two items are similar: in words, as bars (name, number), and in their texts, where texts are compared."""

    similarity: float
    words: str
    bars: tuple[tuple[str, float], ...]
    left: tuple[Passage, ...] = ()
    right: tuple[Passage, ...] = ()


Explain = Callable[[Value, Value], Reason]
"""Says why two items are similar; raises DataError where they cannot be compared."""


@dataclass(frozen=True)
class Side:
    """One item of a pair: its card, and its text where that is what is compared."""

    card: Card
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Pair:
    """A similar pair; `is_least` says that it was chosen for being near the threshold."""

    left: Side
    right: Side
    similarity: float
    is_least: bool
    words: str
    chart: BarChart


@dataclass(frozen=True)
class Pairs:
    """The pairs shown, the most similar first; `is_marked` says that their texts tell what they share."""

    shown: tuple[Pair, ...]
    measure: str
    is_marked: bool


def read_pairs(tables: PinnedTables, settings: Settings, *, explain: Explain | None) -> Pairs | None:
    """The most similar pairs and those nearest to the threshold; None without any, and where nobody explains them.

    A pair that comes out otherwise than the join found it, since items or settings have changed, is left out.
    """
    if explain is None or not tables.has(SIMILAR_PAIRS) or settings.report.pair_examples == 0:
        return None
    chosen = _choose(tables, settings.report.pair_examples)
    ids = [row[end] for row, _ in chosen for end in ("left_id", "right_id")]
    wanted = settings.similarity
    is_of_texts = not wanted.compares_vectors or wanted.modality == "text"
    texts = _read_texts(tables, ids) if is_of_texts else {}
    values: Mapping[str, Value] = _read_embeddings(tables, ids, wanted.modality) if wanted.compares_vectors else texts
    cards = read_cards(tables, ids)
    shown = []
    for row, is_least in sorted(chosen, key=lambda one: (-one[0]["similarity"], one[0]["left_id"])):
        reason = _explain(row, values, explain)
        if reason is not None:
            left, right = (
                Side(cards[item_id], _cut_passages(passages or _whole(texts, item_id)))
                for item_id, passages in ((row["left_id"], reason.left), (row["right_id"], reason.right))
            )
            chart = draw_bars(
                f"{_name_bars(wanted)}: {left.card.name} and {right.card.name}",
                reason.bars,
                is_count=not wanted.compares_vectors,
            )
            shown.append(Pair(left, right, row["similarity"], is_least, reason.words, chart))
    return Pairs(tuple(shown), wanted.measure, not wanted.compares_vectors) if shown else None


def _choose(tables: PinnedTables, most: int) -> list[tuple[Row, bool]]:
    """Half of the pairs from the top and half from the bottom, with whether from the bottom; each item at most once."""
    chosen: list[tuple[Row, bool]] = []
    seen: set[str] = set()
    for is_least, count in ((False, most - most // 2), (True, most // 2)):
        sql = f"""
            SELECT left_id, right_id, similarity FROM similar_pairs
            ORDER BY similarity {"ASC" if is_least else "DESC"}, left_id, right_id LIMIT {_CANDIDATES * most:d}"""
        for row in tables.query(sql, SIMILAR_PAIRS):
            ends = {row["left_id"], row["right_id"]}
            if count and not seen & ends:
                chosen.append((row, is_least))
                seen |= ends
                count -= 1
    return chosen


def _read_texts(tables: PinnedTables, ids: Sequence[str]) -> dict[str, str]:
    found = tables.find(CLEAN_ITEMS, "item_id", ids, ("item_id", "text"))
    return {row["item_id"]: row["text"] for row in found if row["text"] is not None}


def _read_embeddings(tables: PinnedTables, ids: Sequence[str], modality: str) -> dict[str, Sequence[float]]:
    found = tables.find(ITEM_EMBEDDINGS, "item_id", ids, ("item_id", "modality", "embedding"))
    return {row["item_id"]: row["embedding"] for row in found if row["modality"] == modality}


def _explain(row: Row, values: Mapping[str, Value], explain: Explain) -> Reason | None:
    left, right = values.get(row["left_id"]), values.get(row["right_id"])
    if left is None or right is None:
        return None
    try:
        reason = explain(left, right)
    except DataError:
        return None
    return reason if math.isclose(reason.similarity, row["similarity"], rel_tol=1e-9, abs_tol=1e-12) else None


def _whole(texts: Mapping[str, str], item_id: str) -> tuple[Passage, ...]:
    return ((texts[item_id], False),) if item_id in texts else ()


def _name_bars(settings: JoinSettings) -> str:
    """What the bars of a chart say."""
    if not settings.compares_vectors:
        return "Number of tokens"
    if settings.measure == "euclidean":
        return "Share of the squared distance"
    return f"What adds to the {format_words(settings.measure)}"


def _cut_passages(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """Leave the middle of long passages out, and the end of a long text."""
    cut: list[Passage] = []
    room = _TEXT_CHARACTERS
    for text, is_shared in passages:
        if room <= 0:
            return (*cut, (" …", False))
        short = _cut_middle(text, _SHARED_CHARACTERS if is_shared else _OWN_CHARACTERS)
        cut.append((short, is_shared))
        room -= len(short)
    return tuple(cut)


def _cut_middle(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2].rstrip()} … {text[-(most // 2) :].lstrip()}"
