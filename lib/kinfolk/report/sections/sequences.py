"""What is bought later, as a table."""

from __future__ import annotations

from dataclasses import dataclass

from kinfolk.report.pinned import PinnedTables
from kinfolk.settings import Settings
from kinfolk.tables.catalog import FREQUENT_SEQUENCES

Names = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Sequence:
    """Customers who bought the first elements, one after the other, and those of them who bought the last one later."""

    before: Names
    after: tuple[str, ...]
    customer_count: int
    confidence: float
    lift: float
    median_days: float


@dataclass(frozen=True)
class Sequences:
    """The sequences whose last step is the likeliest beside chance, and how many have such a step."""

    sequences: tuple[Sequence, ...]
    total: int


def read_sequences(tables: PinnedTables, settings: Settings) -> Sequences | None:
    """The strongest sequences of several elements; None where there are none."""
    if not tables.has(FREQUENT_SEQUENCES) or settings.report.sequences == 0:
        return None
    (counted,) = tables.query("SELECT count(*) AS total FROM frequent_sequences WHERE elements > 1", FREQUENT_SEQUENCES)
    sql = f"""
        SELECT item_names, customer_count, confidence, lift, median_days FROM frequent_sequences WHERE elements > 1
        ORDER BY lift DESC, customer_count DESC, sequence_id LIMIT {settings.report.sequences:d}"""
    found = []
    for row in tables.query(sql, FREQUENT_SEQUENCES):
        *before, after = (tuple(element) for element in row["item_names"])
        numbers = (row[name] for name in ("customer_count", "confidence", "lift", "median_days"))
        found.append(Sequence(tuple(before), after, *numbers))
    return Sequences(tuple(found), counted["total"]) if found else None
