"""What brings in the money, as bars."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from kinfolk.report.pinned import PinnedTables
from kinfolk.settings import Settings
from kinfolk.tables.catalog import VALUABLE_ITEMSETS


@dataclass(frozen=True)
class Value:
    """What some items bring in where all of them are bought; the bar has its length in percent of the longest."""

    names: tuple[str, ...]
    basket_count: int
    revenue: Decimal
    revenue_share: float
    length: float


@dataclass(frozen=True)
class Values:
    """The most valuable itemsets, and how many there are in all."""

    values: tuple[Value, ...]
    total: int


def read_values(tables: PinnedTables, settings: Settings) -> Values | None:
    """The itemsets that bring in the most; None where there are none."""
    if not tables.has(VALUABLE_ITEMSETS) or settings.report.values == 0:
        return None
    sql = f"""
        SELECT item_names, basket_count, revenue, revenue_share FROM valuable_itemsets
        ORDER BY revenue DESC, itemset_id LIMIT {settings.report.values:d}"""
    rows = tables.query(sql, VALUABLE_ITEMSETS)
    values = tuple(
        Value(
            tuple(row["item_names"]),
            row["basket_count"],
            row["revenue"],
            row["revenue_share"],
            float(100 * row["revenue"] / rows[0]["revenue"]),
        )
        for row in rows
    )
    return Values(values, tables.rows(VALUABLE_ITEMSETS)) if values else None
