"""Where the page comes from: versions of tables and models, and the settings."""

from __future__ import annotations

import json
from dataclasses import dataclass

from kinfolk.report.numbers import Model, read_models
from kinfolk.report.pinned import PinnedTables
from kinfolk.settings import Settings
from kinfolk.settings.report import PRINTED_SECTIONS
from kinfolk.tables.catalog import CATALOG, JOB_RUNS


@dataclass(frozen=True)
class TableState:
    """A table at the version this page was made from; `changed` is in milliseconds since 1970, UTC."""

    name: str
    meaning: str
    version: int
    rows: int
    changed: int


@dataclass(frozen=True)
class Provenance:
    """Versions and settings."""

    tables: tuple[TableState, ...]
    models: tuple[Model, ...]
    settings: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


def read_provenance(tables: PinnedTables, settings: Settings) -> Provenance | None:
    """Versions of what is there; None for an empty lake. job_runs is left out: every run of a job changes it."""
    states = []
    for table in CATALOG.values():
        snapshot = tables.snapshot(table)
        if snapshot is not None and table is not JOB_RUNS:
            changed = tables.last_change(table)
            states.append(TableState(table.name, table.meaning, snapshot.version, snapshot.rows, changed))
    if not states:
        return None
    return Provenance(tuple(states), tuple(read_models(tables)), _list_settings(settings))


def _list_settings(settings: Settings) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    chosen = settings.model_dump(mode="json", include=set(PRINTED_SECTIONS))
    return tuple(
        (section, tuple((name, json.dumps(value, ensure_ascii=False)) for name, value in chosen[section].items()))
        for section in PRINTED_SECTIONS
    )
