"""Where tables, models and scratch files lie, and how much a run may lose."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kinfolk.settings.section import Name, Path, Section

Share = Annotated[float, Field(ge=0, le=1)]


class LakeSettings(Section):
    """Where the tables lie."""

    root: Path = "lake"
    """One folder for the whole lake, a folder a table below it; any path that Hadoop and Arrow understand."""


class TrackingSettings(Section):
    """Where MLflow keeps runs and models."""

    uri: Path | None = None
    """MLflow tracking URI; by default a SQLite file beside the tables of a local lake."""
    artifact_root: Path | None = None
    """Where MLflow keeps artifacts; by default a folder beside the tables of a local lake."""
    experiment: Name = "kinfolk"
    """Experiment that holds the training runs."""
    model_prefix: Name = "kinfolk"
    """First part of the names of registered models; on a shared server it keeps them apart from others'."""
    alias: Name = "champion"
    """Alias of the model version that embed uses, and that train moves to its new version."""


class LimitSettings(Section):
    """How much a job may lose before it stops without committing anything."""

    max_rejected_share: Share = 0.1
    """Largest share of the rows read that a job may reject, 0 to 1."""
    max_deleted_share: Share = 0.5
    """Largest share of an existing table's rows that a job may delete, 0 to 1."""


class SparkSettings(Section):
    """What the session builder sets where spark-submit, its configuration files or the environment set nothing."""

    master: str = "local[2]"
    """Spark master for `kinfolk run`; spark-submit's own --master wins."""
    shuffle_partitions: Annotated[int, Field(ge=1, le=100_000)] = 4
    """Partitions of a shuffle; a few on one machine, two or three a core on a cluster."""
