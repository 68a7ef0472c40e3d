"""Mining on Spark: the events go to one Python task, which groups, searches and derives."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from kinfolk.association.itemsets import ITEMSET_SCHEMA, mine_itemsets
from kinfolk.association.rules import RULE_SCHEMA, derive_rules
from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import AssociationSettings

_LINE_SCHEMA = pa.schema([(name, pa.string()) for name in ("basket_id", "item_id", "item_name")])


@dataclass(frozen=True)
class MiningResult:
    """Itemsets and rules as frames with the content of their tables, and what was counted on the way."""

    itemsets: DataFrame
    rules: DataFrame
    basket_count: int
    itemset_count: int


def mine_baskets(events: DataFrame, settings: AssociationSettings, *, until: dt.date | None = None) -> MiningResult:
    """Find every frequent itemset of the baskets, and the rules that are confident enough.

    `events` has basket_id, item_id, item_name and, where `settings.window_days` is set, event_time; the window ends
    with the day `until`, UTC. Events without a basket or an item are left out, in a window also those without a time.
    One Spark task holds all events, some 150 bytes each; another, for the rules, all itemsets, some 500 bytes each.

    Raises SettingsError for a window without an end, DataError where there are more than `max_itemsets` sets and where
    no event of a window has a time.
    """
    lines = _select_lines(events, settings.window_days, until)
    found = _mine(lines, settings)
    counted = found.agg(F.count("*"), F.max(F.when(F.col("length") == 0, F.col("basket_count")))).collect()[0]
    itemset_count, basket_count = max(0, counted[0] - 1), counted[1] or 0
    if itemset_count > settings.max_itemsets:
        raise DataError(
            f"more than {settings.max_itemsets} itemsets are found in at least {settings.min_support:g} of "
            f"{basket_count} baskets; raise association.min_support, lower association.max_length, or allow more with "
            "association.max_itemsets"
        )
    if not basket_count and settings.window_days is not None:
        _require_times(events)
    return MiningResult(_describe(found, basket_count), _derive(found, settings), basket_count, itemset_count)


def _select_lines(events: DataFrame, window_days: int | None, until: dt.date | None) -> DataFrame:
    if window_days is not None:
        if until is None:
            raise SettingsError("association.window_days needs the day that the window ends with; give a run date")
        end = dt.datetime.combine(until, dt.time.min, dt.UTC) + dt.timedelta(days=1)
        start = end - dt.timedelta(days=window_days)
        events = events.where((F.col("event_time") >= F.lit(start)) & (F.col("event_time") < F.lit(end)))
    return events.dropna(subset=["basket_id", "item_id"]).select(*_LINE_SCHEMA.names)


def _mine(lines: DataFrame, settings: AssociationSettings) -> DataFrame:
    """Mine in one task, and keep the result with the executors: both tables are made of it."""

    def mine(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # What a table forbids to be null arrives with another schema than what may be null.
        nullable = [batch.cast(_LINE_SCHEMA) for batch in batches]
        yield from mine_itemsets(pa.Table.from_batches(nullable, schema=_LINE_SCHEMA), settings)

    return lines.coalesce(1).mapInArrow(mine, _to_spark(ITEMSET_SCHEMA)).localCheckpoint()


def _derive(found: DataFrame, settings: AssociationSettings) -> DataFrame:
    def derive(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        table = pa.Table.from_batches(batches, schema=ITEMSET_SCHEMA)
        if len(table):
            yield from derive_rules(table, settings.min_confidence)

    return found.mapInArrow(derive, _to_spark(RULE_SCHEMA))


def _describe(found: DataFrame, basket_count: int) -> DataFrame:
    sets = found.where(F.col("length") > 0)
    return sets.withColumn("support", F.col("basket_count") / F.lit(max(1, basket_count)))


def _require_times(events: DataFrame) -> None:
    if not events.isEmpty() and events.where(F.col("event_time").isNotNull()).isEmpty():
        raise DataError(
            "association.window_days is set, but no event has a time; name the time column of the source under "
            "sources.events, or leave association.window_days out"
        )


def _to_spark(schema: pa.Schema) -> StructType:
    """The schema in Spark's words; Arrow batches are matched to it by position."""
    return from_arrow_schema(schema)
