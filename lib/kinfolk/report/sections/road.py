"""The road: files, tables and jobs, with their rows and durations."""

from __future__ import annotations

from dataclasses import dataclass

from kinfolk.report.flow import Drawing, Lane, Leg, Stop, draw_tall, draw_wide
from kinfolk.report.formatting import format_brief_duration, format_count, format_words
from kinfolk.report.numbers import count_files, count_groups, read_durations, read_models, read_rejections
from kinfolk.report.pinned import PinnedTables
from kinfolk.settings import Settings
from kinfolk.tables.catalog import (
    ASSOCIATION_RULES,
    CLEAN_EVENTS,
    CLEAN_ITEMS,
    FREQUENT_ITEMSETS,
    ITEM_EMBEDDINGS,
    ITEM_FEATURES,
    ITEM_GROUPS,
    ITEM_NEIGHBORS,
    RAW_EVENTS,
    RAW_ITEMS,
    SIMILAR_PAIRS,
)
from kinfolk.tables.contract import Table


@dataclass(frozen=True)
class Road:
    """The same road drawn twice, and told in one sentence a lane."""

    drawings: tuple[Drawing, ...]
    sentences: tuple[str, ...]


def read_road(tables: PinnedTables, settings: Settings) -> Road | None:
    """Draw what is there of the road; None where no data has come in."""
    del settings
    surveyor = _Surveyor(tables)
    lanes = []
    if tables.has(RAW_ITEMS) or tables.has(CLEAN_ITEMS):
        lanes.append(surveyor.items())
    if tables.has(RAW_EVENTS) or tables.has(CLEAN_EVENTS):
        lanes.append(surveyor.events())
    if not lanes:
        return None
    return Road((draw_wide(lanes), draw_tall(lanes)), tuple(_tell(lane) for lane in lanes))


class _Surveyor:
    """Fills the lanes with what was counted."""

    def __init__(self, tables: PinnedTables) -> None:
        self._tables = tables
        self._durations = read_durations(tables)
        self._rejected: dict[str, int] = {}
        for rejection in read_rejections(tables):
            self._rejected[rejection.target_table] = self._rejected.get(rejection.target_table, 0) + rejection.rows

    def items(self) -> Lane:
        legs = (
            self._leg("ingest", self._table(RAW_ITEMS)),
            self._leg("clean", self._table(CLEAN_ITEMS)),
            self._leg("featurize", self._table(ITEM_FEATURES)),
            self._leg("train", self._model()),
            self._leg("embed", self._table(ITEM_EMBEDDINGS)),
            self._leg("join", self._table(SIMILAR_PAIRS), self._table(ITEM_NEIGHBORS), self._groups()),
        )
        return Lane(self._files(RAW_ITEMS), legs, shortcut=(2, 4))

    def events(self) -> Lane:
        legs = (
            self._leg("ingest", self._table(RAW_EVENTS)),
            self._leg("clean", self._table(CLEAN_EVENTS)),
            self._leg("mine", self._table(FREQUENT_ITEMSETS)),
            Leg("", "", (self._table(ASSOCIATION_RULES),)),
        )
        return Lane(self._files(RAW_EVENTS), legs)

    def _leg(self, job: str, *stops: Stop) -> Leg:
        seconds = self._durations.get(job)
        return Leg(job, format_brief_duration(seconds) if seconds is not None else "", stops)

    def _table(self, table: Table) -> Stop:
        if self._tables.snapshot(table) is None:
            return _absent(table.name)
        rows, rejected = self._tables.rows(table), self._rejected.get(table.name, 0)
        note = f"−{format_count(rejected)} rejected" if rejected else ""
        return Stop(format_words(table.name), format_count(rows), "rows", "table", rows / max(rows + rejected, 1), note)

    def _groups(self) -> Stop:
        if self._tables.snapshot(ITEM_GROUPS) is None:
            return _absent(ITEM_GROUPS.name)
        return Stop(format_words(ITEM_GROUPS.name), format_count(count_groups(self._tables)), "groups", "table")

    def _files(self, table: Table) -> Stop:
        files = count_files(self._tables, table)
        return (
            Stop("files", format_count(files), "file" if files == 1 else "files", "files")
            if files
            else _absent("files")
        )

    def _model(self) -> Stop:
        models = read_models(self._tables)
        return Stop("encoder", f"version {models[-1].version}", "", "model") if models else _absent("encoder")


def _absent(name: str) -> Stop:
    return Stop(format_words(name), "not yet", "", "absent")


def _tell(lane: Lane) -> str:
    """The lane in words, for those who do not see the drawing."""
    stops = [lane.start, *(stop for leg in lane.legs for stop in leg.stops)]
    return ", then ".join(f"{s.name}: {s.figure} {s.unit}{f' ({s.note})' if s.note else ''}".strip() for s in stops)
