"""The jobs, in the order in which the data goes; the only place that puts domain packages together."""

from __future__ import annotations

import importlib

from kinfolk.errors import SettingsError
from kinfolk.run.job import Job

JOB_NAMES = (
    "ingest",
    "clean",
    "featurize",
    "train",
    "embed",
    "join",
    "match",
    "mine",
    "segment",
    "sequence",
    "recommend",
    "value",
    "report",
)


def load_job(name: str) -> Job:
    """Import one job's module and return its JOB; what the others need stays unloaded."""
    if name not in JOB_NAMES:
        raise SettingsError(f"there is no job {name!r}; there are {', '.join(JOB_NAMES)}")
    job = importlib.import_module(f"kinfolk.jobs.{name}").JOB
    assert isinstance(job, Job)
    return job
