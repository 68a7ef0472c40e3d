"""Read the files that the settings name into raw_items and raw_events, every value as the files say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kinfolk.run import FileStamp, Job, Run
from kinfolk.settings import Settings
from kinfolk.sources import SourceFile, check_sources, list_media, list_source, plan_files, read_events, read_items
from kinfolk.tables.catalog import RAW_EVENTS, RAW_ITEMS
from kinfolk.tables.contract import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def ingest(run: Run) -> None:
    """Make the raw tables mirror the files; a kind of source that the settings do not name leaves its table empty."""
    sources, settings = run.settings.sources, run.settings.ingest
    items = [(source, list_source(source)) for source in sources.items]
    events = [(source, list_source(source)) for source in sources.events]
    check_sources(items)
    check_sources(events)
    item_plan, event_plan = run.frame(plan_files(items)), run.frame(plan_files(events))
    item_rows = read_items(item_plan, sources.items, settings)
    event_rows = read_events(event_plan, sources.events, settings)
    if settings.keep_vanished:
        item_rows = add_vanished(run, RAW_ITEMS, item_rows, item_plan)
        event_rows = add_vanished(run, RAW_EVENTS, event_rows, event_plan)
    run.commit(run.stage(RAW_ITEMS, item_rows), run.stage(RAW_EVENTS, event_rows))


def add_vanished(run: Run, table: Table, rows: DataFrame, plan: DataFrame) -> DataFrame:
    """Add the rows that the table has of files which are not there any more."""
    if not run.lake.exists(table):
        return rows
    # The table's own last state is no input: were it pinned as one, each write would make the next run look new.
    standing = run.spark.read.format("delta").load(run.lake.path(table.name)).select(*table.content)
    vanished = standing.join(plan, ["source", "file"], "left_anti")
    return rows.unionByName(vanished, allowMissingColumns=True)


def list_stamps(settings: Settings) -> list[FileStamp]:
    """Every file that the raw tables are made from, pictures and sounds included."""
    stamps: set[FileStamp] = set()
    for items in settings.sources.items:
        files = list_source(items)
        stamps |= _stamps([*files, *list_media(items, files)])
    for events in settings.sources.events:
        stamps |= _stamps(list_source(events))
    return sorted(stamps)


def _stamps(files: Sequence[SourceFile]) -> set[FileStamp]:
    return {FileStamp(file.path, file.size, file.modified_ns) for file in files}


JOB = Job("ingest", ingest, writes=(RAW_ITEMS, RAW_EVENTS), sections=("sources", "ingest"), files=list_stamps)
