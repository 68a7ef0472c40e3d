"""Events: their values typed, each judged by the row rules, and repeated ones set aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from kinfolk.cleaning.reasons import EventReason
from kinfolk.cleaning.rules import ORIGIN, Rule, judge, trim
from kinfolk.cleaning.values import read_price, read_quantity, read_time
from kinfolk.settings import CleaningSettings, EventSource

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_TEXTS = ("basket_id", "customer_id", "item_id", "item_name", "category", "segment")
_VALUES = (*_TEXTS, "event_time", "quantity", "price")


def clean_events(raw: DataFrame, sources: Sequence[EventSource], settings: CleaningSettings) -> DataFrame:
    """Every row of raw_events in the shape of clean_events, with `reject_reason` where it may not stay.

    `sources` say which columns exist: a time or a price may be missing where the source names no such column.
    """
    typed = raw.select(
        *ORIGIN,
        *(trim(F.col(name)).alias(name) for name in _TEXTS),
        *(trim(F.col(name)).alias(f"{name}_text") for name in ("event_time", "quantity", "price")),
    ).withColumns(
        {
            "event_time": read_time(F.col("event_time_text"), settings),
            "quantity": read_quantity(F.col("quantity_text")),
            "price": read_price(F.col("price_text")),
        }
    )
    judged = typed.withColumns(judge(event_rules(sources, settings)))
    if settings.drop_duplicate_events:
        judged = reject_repeated(judged)
    return judged.select(*ORIGIN, *_VALUES, "reject_reason", "reject_detail")


def event_rules(sources: Sequence[EventSource], settings: CleaningSettings) -> list[Rule]:
    """The row rules, in the order in which they are asked."""
    basket, item, quantity, price = (F.col(name) for name in ("basket_id", "item_id", "quantity", "price"))
    time_text, quantity_text, price_text = (F.col(f"{name}_text") for name in ("event_time", "quantity", "price"))
    has_time = _is_one_of([source.name for source in sources if source.time])
    has_price = _is_one_of([source.name for source in sources if source.price])
    prefix = settings.cancellation_prefix
    nothing = F.lit("")
    return [
        Rule(EventReason.BASKET_MISSING, basket.isNull(), nothing),
        Rule(EventReason.ITEM_MISSING, item.isNull(), nothing),
        Rule(EventReason.CANCELLED, basket.startswith(prefix) if prefix else F.lit(False), basket),  # noqa: FBT003
        Rule(EventReason.TIME_MISSING, has_time & time_text.isNull(), nothing),
        Rule(EventReason.TIME_INVALID, time_text.isNotNull() & F.col("event_time").isNull(), time_text),
        Rule(EventReason.QUANTITY_MISSING, quantity_text.isNull(), nothing),
        Rule(EventReason.QUANTITY_INVALID, quantity.isNull(), quantity_text),
        Rule(EventReason.QUANTITY_NOT_POSITIVE, quantity <= 0, quantity_text),
        Rule(EventReason.PRICE_MISSING, has_price & price_text.isNull(), nothing),
        Rule(EventReason.PRICE_INVALID, price_text.isNotNull() & price.isNull(), price_text),
        Rule(EventReason.PRICE_NOT_POSITIVE, price <= 0, price_text),
    ]


def reject_repeated(judged: DataFrame) -> DataFrame:
    """Set aside each good event whose values, all of them, an earlier good one has; the first by origin stays."""
    # Rejected rows form groups of their own: their values may be null where those of a good row are null too.
    alike = Window.partitionBy(*_VALUES, "reject_reason").orderBy(*ORIGIN)
    is_repeated = F.col("reject_reason").isNull() & (F.row_number().over(alike) > 1)
    return judged.withColumn(
        "reject_reason", F.when(is_repeated, F.lit(str(EventReason.DUPLICATE))).otherwise(F.col("reject_reason"))
    )


def _is_one_of(names: list[str]) -> Column:
    return F.col("source").isin(names)
