"""What a section of the page is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kinfolk.report.pinned import PinnedTables
from kinfolk.settings import Settings


@dataclass(frozen=True)
class Section:
    """A part of the page: `read` gathers what its template shows, or returns None where there is nothing to show.

    `missing` is then said in its place.
    """

    anchor: str
    title: str
    template: str
    read: Callable[[PinnedTables, Settings], object | None]
    missing: str
