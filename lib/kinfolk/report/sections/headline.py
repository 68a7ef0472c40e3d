"""The first look: how much came in, what was found, and what training was good for."""

from __future__ import annotations

from dataclasses import dataclass

from kinfolk.report.formatting import format_count
from kinfolk.report.numbers import count_groups, read_curves, read_event_counts
from kinfolk.report.pinned import PinnedTables
from kinfolk.tables.catalog import ASSOCIATION_RULES, CLEAN_EVENTS, CLEAN_ITEMS, ITEM_GROUPS, SIMILAR_PAIRS

_FIRST_HIT = "image_to_image.recall_at_1"
_NAMES = {"trained": "trained encoder", "raw_pixels": "raw pixels", "untrained": "untrained encoder"}


@dataclass(frozen=True)
class Figure:
    """One number of the headline, with a remark below it."""

    value: str
    name: str
    remark: str = ""


@dataclass(frozen=True)
class Hit:
    """How often the first hit for a held-out picture shows the same subject: `share` of 0 to 1, for one encoder."""

    kind: str
    name: str
    share: float


@dataclass(frozen=True)
class Headline:
    """The numbers of the headline in their order, and the first hits, the trained encoder's first."""

    figures: tuple[Figure, ...]
    hits: tuple[Hit, ...]


def read_headline(tables: PinnedTables) -> Headline:
    """Gather the headline; numbers of tables that are not there are left out."""
    return Headline((*_item_figures(tables), *_event_figures(tables)), _read_hits(tables))


def _item_figures(tables: PinnedTables) -> list[Figure]:
    figures = []
    if tables.has(CLEAN_ITEMS):
        figures.append(Figure(format_count(tables.rows(CLEAN_ITEMS)), "items"))
    if tables.snapshot(SIMILAR_PAIRS):
        figures.append(Figure(format_count(tables.rows(SIMILAR_PAIRS)), "similar pairs"))
    if tables.snapshot(ITEM_GROUPS):
        items = format_count(tables.rows(ITEM_GROUPS))
        figures.append(Figure(format_count(count_groups(tables)), "groups", f"of {items} items"))
    return figures


def _event_figures(tables: PinnedTables) -> list[Figure]:
    figures = []
    counts = read_event_counts(tables)
    if counts:
        span = f"{counts.first:%b %Y} to {counts.last:%b %Y}" if counts.first and counts.last else ""
        figures.append(Figure(format_count(tables.rows(CLEAN_EVENTS)), "events", span))
        figures.append(Figure(format_count(counts.baskets), "baskets", f"of {format_count(counts.items)} products"))
    if tables.snapshot(ASSOCIATION_RULES):
        figures.append(Figure(format_count(tables.rows(ASSOCIATION_RULES)), "rules"))
    return figures


def _read_hits(tables: PinnedTables) -> tuple[Hit, ...]:
    curves = read_curves(tables)
    if curves is None or curves.final("trained", _FIRST_HIT) is None:
        return ()
    shares = ((kind, name, curves.final(kind, _FIRST_HIT)) for kind, name in _NAMES.items())
    return tuple(Hit(kind, name, share) for kind, name, share in shares if share is not None)
