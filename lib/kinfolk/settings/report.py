"""What the report shows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kinfolk.settings.section import Path, Section

PRINTED_SECTIONS = (
    "cleaning",
    "features",
    "learning",
    "embedding",
    "similarity",
    "matching",
    "association",
    "sequence",
    "utility",
)
"""Sections of the settings that the report prints: those that decide what is found, none with paths in it."""


class ReportSettings(Section):
    """What the report shows."""

    path: Path | None = None
    """Local file of the page; by default `_reports/report.html` in the lake, which then has to be local."""
    title: str = "What belongs together"
    """Title of the page."""
    neighbor_examples: Annotated[int, Field(ge=0, le=200)] = 12
    """Items shown with their nearest neighbours, and as many with their matches."""
    pair_examples: Annotated[int, Field(ge=0, le=200)] = 6
    """Similar pairs shown with what makes them similar: half of them the most similar ones, the others those nearest to
    the threshold."""
    groups: Annotated[int, Field(ge=0, le=200)] = 8
    """Largest groups shown."""
    rules: Annotated[int, Field(ge=0, le=1000)] = 30
    """Strongest rules shown."""
    sequences: Annotated[int, Field(ge=0, le=1000)] = 15
    """Strongest sequences shown."""
    values: Annotated[int, Field(ge=0, le=1000)] = 15
    """Most valuable itemsets shown."""
    credits: tuple[str, ...] = ()
    """Sources and licences of the data, a line each, printed at the foot of the page."""
