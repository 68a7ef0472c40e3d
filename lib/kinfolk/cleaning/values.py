"""Text as times and numbers: what cannot be read becomes null, never an error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from kinfolk.settings import CleaningSettings
from kinfolk.settings.cleaning import TYPED_TIME_FORMATS

if TYPE_CHECKING:
    from pyspark.sql import Column


def read_time(text: Column, settings: CleaningSettings) -> Column:
    """The moment that a text names by the first format that fits; formats without a zone mean the settings' zone."""
    formats = dict.fromkeys([*settings.time_formats, *TYPED_TIME_FORMATS])
    return F.coalesce(*(_read_format(text, pattern, settings.time_zone) for pattern in formats))


def _read_format(text: Column, pattern: str, zone: str) -> Column:
    if has_zone(pattern):
        return F.try_to_timestamp(text, F.lit(pattern))
    # The zone is read along with the text, so that the session's own zone plays no part.
    return F.try_to_timestamp(F.concat(text, F.lit(f" {zone}")), F.lit(f"{pattern} VV"))


def has_zone(pattern: str) -> bool:
    """Whether a pattern reads a zone or an offset from the text; letters in quotation marks do not count.

    >>> has_zone("yyyy-MM-dd'X'HH:mm"), has_zone("yyyy-MM-dd HH:mmXXX")
    (False, True)
    """
    return bool(re.search(r"[XxZzOV]", re.sub(r"'[^']*'", "", pattern)))


def read_quantity(text: Column) -> Column:
    """A whole number that fits 32 bits, also written as 12.0 or 1.2E1; null for anything else."""
    number = text.try_cast("decimal(38,6)")
    return F.when(number == F.floor(number), number).try_cast("int")


def read_price(text: Column) -> Column:
    """A decimal number, rounded to four digits after the point; null for anything else."""
    return text.try_cast("decimal(18,4)")
