"""The page: every section rendered into one HTML file that needs nothing but itself."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

import jinja2

from kinfolk.report import formatting
from kinfolk.report.pinned import PinnedTables
from kinfolk.report.sections import Section, list_sections
from kinfolk.report.sections.headline import read_headline
from kinfolk.report.sections.pairs import Explain
from kinfolk.settings import Settings


@dataclass(frozen=True)
class Filled:
    """A section with what its template shows; None where there is nothing to show."""

    section: Section
    content: object | None


def build_page(tables: PinnedTables, settings: Settings, explain: Explain | None = None) -> str:
    """Write the report as one HTML page; equal tables and settings give an equal page, durations of jobs aside.

    `explain` says why two items are similar; without it no pair is shown.
    """
    filled = [Filled(section, section.read(tables, settings)) for section in list_sections(explain)]
    page = _templates().get_template("page.html")
    return page.render(report=settings.report, headline=read_headline(tables), sections=filled) + "\n"


def write_page(page: str, path: str) -> None:
    """Put a page in its place at once; a reader sees the old one or the new one, never a part."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        unfinished.write_text(page, encoding="utf-8")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


@functools.cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": formatting.format_count,
        "figure": formatting.format_figure,
        "share": formatting.format_share,
        "similarity": formatting.format_similarity,
        "duration": formatting.format_duration,
        "moment": formatting.format_moment,
        "words": formatting.format_words,
    }
    return environment
