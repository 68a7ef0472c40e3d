"""Events of the last so many days."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from kinfolk.errors import DataError, SettingsError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def select_window(events: DataFrame, days: int | None, until: dt.date | None, *, section: str) -> DataFrame:
    """Events of so many days, the last of which is `until`, UTC; all where `days` is None.

    Raises SettingsError for a window without an end, which names the section of the settings that it is from.
    """
    if days is None:
        return events
    if until is None:
        raise SettingsError(f"{section}.window_days needs the day that the window ends with; give a run date")
    end = dt.datetime.combine(until, dt.time.min, dt.UTC) + dt.timedelta(days=1)
    start = end - dt.timedelta(days=days)
    return events.where((F.col("event_time") >= F.lit(start)) & (F.col("event_time") < F.lit(end)))


def require_times(events: DataFrame, *, section: str) -> None:
    """Raise DataError where there are events, none of which has a time, though only some days of them are wanted."""
    if not events.isEmpty() and events.where(F.col("event_time").isNotNull()).isEmpty():
        raise DataError(
            f"{section}.window_days is set, but no event has a time; name the time column of the source under "
            f"sources.events, or leave {section}.window_days out"
        )
