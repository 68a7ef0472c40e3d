"""Which rows are good enough."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kinfolk.settings.section import Section


class CleaningSettings(Section):
    """Rules that rows have to pass."""

    time_formats: tuple[str, ...] = ("yyyy-MM-dd HH:mm:ss", "yyyy-MM-dd'T'HH:mm:ss", "yyyy-MM-dd")
    """Patterns of event times, in Spark's notation, tried in order."""
    time_zone: str = "UTC"
    """Time zone of event times that carry none."""
    cancellation_prefix: str | None = None
    """Baskets whose id begins with this are cancellations and are rejected; none by default."""
    drop_duplicate_events: bool = True
    """Reject events that repeat an earlier one in every value."""
    max_text_characters: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Longest text an item may have, in characters."""
    max_image_pixels: Annotated[int, Field(ge=1, le=1 << 30)] = 40_000_000
    """Largest picture that is decoded, in pixels."""
