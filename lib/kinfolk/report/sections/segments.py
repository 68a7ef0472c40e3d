"""Segments side by side: how many rules hold within each, and the strongest of them."""

from __future__ import annotations

from dataclasses import dataclass

from kinfolk.report.pinned import PinnedTables
from kinfolk.settings import Settings
from kinfolk.tables.catalog import SEGMENT_RULES

_MOST_SEGMENTS = 30


@dataclass(frozen=True)
class Segment:
    """A segment and its strongest rule."""

    name: str
    baskets: int
    rules: int
    antecedent_names: tuple[str, ...]
    consequent_names: tuple[str, ...]
    confidence: float
    lift: float


@dataclass(frozen=True)
class Segments:
    """The largest segments that have a rule, how many there are, and the column that tells them apart."""

    segments: tuple[Segment, ...]
    total: int
    column: str | None


def read_segments(tables: PinnedTables, settings: Settings) -> Segments | None:
    """The largest segments; None where none has a rule."""
    if not tables.has(SEGMENT_RULES):
        return None
    sql = """
        SELECT * FROM (
            SELECT segment, baskets, antecedent_names, consequent_names, confidence, lift,
                count(*) OVER (PARTITION BY segment) AS rules,
                row_number() OVER (PARTITION BY segment
                    ORDER BY lift DESC, basket_count DESC, antecedent_id, consequent_id) AS place
            FROM segment_rules
        ) WHERE place = 1 ORDER BY baskets DESC, segment"""
    found = tuple(
        Segment(
            row["segment"],
            row["baskets"],
            row["rules"],
            tuple(row["antecedent_names"]),
            tuple(row["consequent_names"]),
            row["confidence"],
            row["lift"],
        )
        for row in tables.query(sql, SEGMENT_RULES)
    )
    return Segments(found[:_MOST_SEGMENTS], len(found), settings.association.segment_by) if found else None
