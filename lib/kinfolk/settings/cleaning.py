"""Which rows are good enough."""

from __future__ import annotations

import re
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from kinfolk.settings.section import Section

PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats of pictures that are decoded, wherever one is; other decoders start programs or are rarely looked after."""

TYPED_TIME_FORMATS = ("yyyy-MM-dd HH:mm:ss.SSSSSS", "yyyy-MM-dd HH:mm:ss.SSSSSSXXX", "yyyy-MM-dd")
"""How the times and dates of Parquet columns stand in raw tables; these are read beside the formats of the settings."""

_PATTERN_LETTERS = "GyMLdDQqEFahHkKmsSVzOXxZ"


def _check_time_format(pattern: str) -> str:
    wrong = sorted({c for c in re.sub(r"'[^']*'", "", pattern) if c.isalpha()} - set(_PATTERN_LETTERS))
    if wrong or not pattern.strip():
        raise ValueError(
            f"{pattern!r} is not a pattern of Spark's such as yyyy-MM-dd HH:mm:ss"
            + (f"; it has the letters {', '.join(wrong)}" if wrong else "")
        )
    return pattern


def _check_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone such as UTC or Europe/London") from None
    return name


class CleaningSettings(Section):
    """Rules that rows have to pass."""

    time_formats: tuple[Annotated[str, AfterValidator(_check_time_format)], ...] = (
        "yyyy-MM-dd HH:mm:ss",
        "yyyy-MM-dd'T'HH:mm:ss",
        "yyyy-MM-dd",
    )
    """Patterns of event times, in Spark's notation, tried in order; times of Parquet columns need none."""
    time_zone: Annotated[str, AfterValidator(_check_time_zone)] = "UTC"
    """Time zone of event times that carry none."""
    cancellation_prefix: Annotated[str, Field(min_length=1)] | None = None
    """Baskets whose id begins with this are cancellations and are rejected; none by default."""
    drop_duplicate_events: bool = True
    """Reject events that repeat an earlier one in every value."""
    max_text_characters: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Longest text an item may have, in characters."""
    max_image_pixels: Annotated[int, Field(ge=1, le=1 << 30)] = 40_000_000
    """Largest picture that is decoded, in pixels."""
