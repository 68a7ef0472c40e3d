"""Let good rows of raw_items and raw_events into clean_items and clean_events, and the others into rejected_rows."""

from __future__ import annotations

from kinfolk.cleaning import clean_events, clean_items
from kinfolk.run import Job, Run
from kinfolk.tables.catalog import CLEAN_EVENTS, CLEAN_ITEMS, RAW_EVENTS, RAW_ITEMS


def clean(run: Run) -> None:
    """Judge every raw row; rows in = rows out + rows rejected."""
    settings = run.settings
    items = clean_items(run.read(RAW_ITEMS), settings.cleaning)
    events = clean_events(run.read(RAW_EVENTS), settings.sources.events, settings.cleaning)
    run.commit(run.stage(CLEAN_ITEMS, items, origin=RAW_ITEMS), run.stage(CLEAN_EVENTS, events, origin=RAW_EVENTS))


JOB = Job(
    "clean", clean, reads=(RAW_ITEMS, RAW_EVENTS), writes=(CLEAN_ITEMS, CLEAN_EVENTS), sections=("cleaning", "sources")
)
