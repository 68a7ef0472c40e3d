"""What a result depends on, as one hash, and whether what a run left still stands."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from kinfolk.errors import NotFoundError
from kinfolk.run.job import FileStamp, Job
from kinfolk.settings import Settings
from kinfolk.tables.catalog import CATALOG
from kinfolk.tables.lake import Lake, Snapshot

# Commits that move files about and leave the rows as they are.
_UPKEEP = ("OPTIMIZE", "VACUUM START", "VACUUM END")


def fingerprint(
    job: Job,
    settings: Settings,
    run_date: date,
    inputs: Mapping[str, Snapshot | None],
    models: Mapping[str, str],
    files: list[FileStamp],
) -> str:
    """SHA-256, in hexadecimal, over everything the result of a job depends on."""
    parts = {
        "job": job.name,
        "inputs": {name: (s.table_id, s.version) if s else None for name, s in sorted(inputs.items())},
        "models": dict(sorted(models.items())),
        "files": [(f.path, f.size, f.modified_ns) for f in sorted(files)],
        "run_date": run_date.isoformat() if job.uses_run_date(settings) else None,
        "settings": {name: getattr(settings, name).model_dump(mode="json") for name in sorted(job.sections)},
        "code": package_hash(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def package_hash() -> str:
    """SHA-256 over the names and contents of the installed package's files, in hexadecimal."""
    root = Path(__file__).parents[1]
    total = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file() and p.suffix not in {".pyc", ".nbi", ".nbc"}):
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def stands(job: Job, settings: Settings, lake: Lake, outputs: list[dict[str, Any]]) -> bool:
    """Whether every table and file that a run wrote is as that run left it."""
    if any(not os.path.exists(product) for product in (job.products(settings) if job.products else [])):
        return False
    return all(_table_stands(job, lake, output) for output in outputs)


def _table_stands(job: Job, lake: Lake, output: dict[str, Any]) -> bool:
    table = CATALOG[output["table_name"]]
    try:
        opened = lake.open(table)
    except NotFoundError:
        return False
    if str(opened.metadata().id) != output["table_id"]:
        return False
    later = opened.version() - output["version"]
    if later < 0:
        return False
    return all(_is_harmless(commit, job, table.slice_by) for commit in (opened.history(later) if later else []))


def _is_harmless(commit: dict[str, Any], job: Job, slice_by: tuple[str, ...]) -> bool:
    """Upkeep, or in a table shared by slices the commit of another job."""
    if commit.get("operation") in _UPKEEP:
        return True
    if "job" not in slice_by:
        return False
    try:
        writer = json.loads(commit.get("userMetadata") or "{}").get("job")
    except ValueError:
        return False
    return writer is not None and writer != job.name
