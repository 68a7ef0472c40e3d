"""What the report shows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kinfolk.settings.section import Path, Section


class ReportSettings(Section):
    """What the report shows."""

    path: Path | None = None
    """Where the page is written; by default report.html in the lake's folder `_reports`."""
    title: str = "What belongs together"
    """Title of the page."""
    neighbor_examples: Annotated[int, Field(ge=0, le=200)] = 12
    """Items shown with their nearest neighbours."""
    groups: Annotated[int, Field(ge=0, le=200)] = 8
    """Largest groups shown."""
    rules: Annotated[int, Field(ge=0, le=1000)] = 30
    """Strongest rules shown."""
