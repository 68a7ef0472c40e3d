"""Which rows of a frame are mined, and what is needed of them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import functions as F

from kinfolk.association.baskets import LISTS
from kinfolk.association.evidence import STRATUM
from kinfolk.association.measures import MEASURES
from kinfolk.association.taxonomy import CATEGORY
from kinfolk.association.windows import select_window
from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import AssociationSettings
from kinfolk.tables.scans import read_frame

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

SEGMENT = "segment"
"""The column of rows that are mined apart."""

_LINES = ("basket_id", "item_id", "item_name", CATEGORY)
_PERIODS = {"year": "yyyy", "quarter": "yyyy'Q'Q", "month": "yyyy-MM", "weekday": "EEEE", "hour": "HH"}
"""Periods of a time, and how they are written."""


def select_rows(
    baskets: DataFrame, settings: AssociationSettings, until: dt.date | None, *, segment: str | None = None
) -> DataFrame:
    """The rows of the window, with items, names, and where they are asked for, stratum and segment.

    Raises SettingsError for a window without an end, DataError where columns are missing.
    """
    baskets = select_window(baskets, settings.window_days, until, section="association")
    told = []
    if settings.confounder is not None:
        told.append(_tell(baskets, settings.confounder, "association.confounder").alias(STRATUM))
    if segment is not None:
        told.append(_tell(baskets, segment, "association.segment_by").alias(SEGMENT))
    if LISTS in baskets.columns:
        return baskets.select(LISTS, *told)
    missing = [name for name in _LINES[:2] if name not in baskets.columns]
    if missing:
        raise DataError(
            f"the columns are {', '.join(baskets.columns)}; mining needs {LISTS}, an array, or basket_id and item_id: "
            "rename or select"
        )
    is_wanted = settings.categories
    names = [name for name in _LINES if name in baskets.columns and (is_wanted or name != CATEGORY)]
    return baskets.dropna(subset=["basket_id", "item_id"]).select(*names, *told)


def check_categories(categories: DataFrame | None, baskets: DataFrame, settings: AssociationSettings) -> None:
    """Raise SettingsError or DataError where categories count and cannot be told, or are given and do not count."""
    if settings.categories and categories is None and LISTS in baskets.columns:
        raise SettingsError(
            "association.categories is set, and lists of items do not say what these are: give categories, a frame "
            "with item_id and category, or lines with a column category, or leave it out"
        )
    if categories is None:
        return
    if not settings.categories:
        raise SettingsError("categories are given, and association.categories is not set: set it, or leave them out")
    if not {"item_id", CATEGORY} <= set(categories.columns):
        raise DataError(
            f"the columns of categories are {', '.join(categories.columns)}; item_id and category are needed: rename "
            "or select"
        )


def read_categories(rows: DataFrame) -> pa.Table:
    """How many rows name an item with a category: item_id, category, lines."""
    return read_frame(rows.groupBy("item_id", CATEGORY).agg(F.count("*").alias("lines")), threads=1)


def check_measures(settings: AssociationSettings) -> None:
    """Raise SettingsError for a measure that there is not."""
    for setting, named in (("min_measures", set(settings.min_measures)), ("top_measure", {settings.top_measure})):
        if unknown := sorted(named - set(MEASURES)):
            raise SettingsError(
                f"association.{setting} names {', '.join(unknown)}; the measures are {', '.join(sorted(MEASURES))}"
            )


def _tell(baskets: DataFrame, wanted: str, setting: str) -> Column:
    """What a column says, or in which period a time is."""
    if wanted in baskets.columns:
        return F.col(f"`{wanted}`").cast("string")
    if wanted in _PERIODS and "event_time" in baskets.columns:
        return F.date_format("event_time", _PERIODS[wanted])
    raise DataError(
        f"the columns are {', '.join(baskets.columns)}; {setting} is {wanted}: name one of them, or, where there is an "
        f"event_time, one of {', '.join(_PERIODS)}"
    )
