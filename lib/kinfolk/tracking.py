"""Runs and models in MLflow: the only place that imports it, and only when it is needed, since that takes seconds."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kinfolk.errors import EnvironmentProblem, NotFoundError, SettingsError
from kinfolk.settings import TrackingSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_ID_TAG = "kinfolk.run_id"
_METRICS_A_CALL = 1000


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model; its files lie in the local folder `directory`."""

    name: str
    version: str
    directory: str


@dataclass(frozen=True)
class MetricPoint:
    """One measured value of a curve; final figures are curves of one point."""

    name: str
    step: int
    value: float


class Tracker:
    """MLflow, as the settings name it: by default a SQLite file and a folder of artifacts beside the tables.

    Raises SettingsError where the lake is remote and the settings name no server.
    """

    def __init__(self, settings: TrackingSettings, lake_root: str) -> None:
        is_local = "://" not in lake_root
        if settings.uri is None and not is_local:
            raise SettingsError(
                f"the lake {lake_root} is not a local folder, so a SQLite file cannot lie beside its tables; name an "
                "MLflow server with --set tracking.uri=URI, and where it does not serve artifacts itself also "
                "tracking.artifact_root"
            )
        folder = f"{lake_root}/_tracking"
        self._settings = settings
        self._uri = settings.uri or f"sqlite:///{os.path.abspath(folder)}/mlflow.db"
        keeps_artifacts = settings.uri is None
        self._artifact_root = settings.artifact_root or (
            f"{os.path.abspath(folder)}/artifacts" if keeps_artifacts else None
        )
        self._client: MlflowClient | None = None

    def training_run(self, run_id: str) -> TrackedRun:
        """The MLflow run of one kinfolk run; made where there is none, so that a rerun continues the same one."""
        client = self._connect()
        experiment = self._experiment_id(client)
        found = client.search_runs([experiment], f"tags.`{RUN_ID_TAG}` = '{run_id}'", max_results=1)
        run = found[0] if found else client.create_run(experiment, tags={RUN_ID_TAG: run_id}, run_name=run_id)
        return TrackedRun(client, run.info.run_id)

    def register(self, name: str, directory: str, *, run_id: str) -> ModelVersion:
        """Register the files of a folder as a new version of a model, made by one kinfolk run.

        A run registers a model once: repeated, it returns the version that is there. No alias is moved.
        """
        client = self._connect()
        tracked = self.training_run(run_id)
        registered = self._registered_name(name)
        self._require_model(client, registered)
        found = list(client.search_model_versions(f"name = '{registered}' and run_id = '{tracked.mlflow_run_id}'"))
        if not found:
            client.log_artifacts(tracked.mlflow_run_id, directory, artifact_path=name)
            source = f"{client.get_run(tracked.mlflow_run_id).info.artifact_uri}/{name}"
            tags = {RUN_ID_TAG: run_id}
            found = [client.create_model_version(registered, source, run_id=tracked.mlflow_run_id, tags=tags)]
        return ModelVersion(registered, str(found[0].version), self._files_of(found[0].source))

    def promote(self, name: str, version: str) -> None:
        """Move the alias of the settings to a version of a model."""
        self._connect().set_registered_model_alias(self._registered_name(name), self._settings.alias, version)

    def resolve(self, name: str) -> ModelVersion:
        """The version that the alias points to, with its files on this machine. Raises NotFoundError."""
        found = self._aliased(name)
        return ModelVersion(self._registered_name(name), str(found.version), self._files_of(found.source))

    def peek_version(self, name: str) -> str:
        """The version that the alias points to, without its files. Raises NotFoundError."""
        return str(self._aliased(name).version)

    def _aliased(self, name: str) -> Any:
        from mlflow.exceptions import MlflowException

        client, registered = self._connect(), self._registered_name(name)
        try:
            return client.get_model_version_by_alias(registered, self._settings.alias)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise NotFoundError(
                f"no version of the model {registered} has the alias {self._settings.alias} in "
                f"{_without_password(self._uri)}; run the train job first (`kinfolk run --only train`, with --force "
                "where it was run before), or move the alias to a version that is there"
            ) from None

    def _connect(self) -> MlflowClient:
        if self._client is None:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
            if self._uri.startswith("sqlite:////"):
                os.makedirs(os.path.dirname(self._uri.removeprefix("sqlite:///")), exist_ok=True)
            # Making the tables of a new SQLite file is told in a hundred lines.
            for noisy in ("alembic", "mlflow.store.db.utils"):
                logging.getLogger(noisy).setLevel(logging.WARNING)
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException

            try:
                self._client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
            except (MlflowException, OSError) as error:
                raise EnvironmentProblem(f"MLflow at {_without_password(self._uri)} cannot be used: {error}") from None
        return self._client

    def _experiment_id(self, client: MlflowClient) -> str:
        name = self._settings.experiment
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        return str(client.create_experiment(name, artifact_location=self._artifact_root))

    def _require_model(self, client: MlflowClient, registered: str) -> None:
        if not client.search_registered_models(f"name = '{registered}'"):
            client.create_registered_model(registered)

    def _registered_name(self, name: str) -> str:
        return f"{self._settings.model_prefix}-{name}"

    def _files_of(self, source: str | None) -> str:
        """The folder itself where it is on this machine, otherwise a copy of it."""
        assert source, "every version is registered from a folder"
        path = source.removeprefix("file://")
        if os.path.isdir(path):
            return path
        from mlflow.artifacts import download_artifacts

        return str(download_artifacts(artifact_uri=source, tracking_uri=self._uri))


class TrackedRun:
    """One MLflow run; writing the same again changes nothing."""

    def __init__(self, client: MlflowClient, mlflow_run_id: str) -> None:
        self._client = client
        self.mlflow_run_id = mlflow_run_id

    def log(self, *, parameters: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
        """Write parameters, which MLflow lets nobody change, and tags."""
        from mlflow.entities import Param, RunTag

        self._client.log_batch(
            self.mlflow_run_id,
            params=[Param(name, str(value)) for name, value in parameters.items()],
            tags=[RunTag(name, str(value)) for name, value in tags.items()],
        )

    def log_metrics(self, points: Iterable[MetricPoint]) -> None:
        """Write the points of curves that are not there yet, told apart by name and step."""
        from mlflow.entities import Metric

        wanted = list(points)
        known = {(name, step) for name in {point.name for point in wanted} for step in self._steps(name)}
        started = self._client.get_run(self.mlflow_run_id).info.start_time
        metrics = [Metric(p.name, p.value, started, p.step) for p in wanted if (p.name, p.step) not in known]
        for first in range(0, len(metrics), _METRICS_A_CALL):
            self._client.log_batch(self.mlflow_run_id, metrics=metrics[first : first + _METRICS_A_CALL])

    def _steps(self, name: str) -> set[int]:
        return {metric.step for metric in self._client.get_metric_history(self.mlflow_run_id, name)}

    @contextmanager
    def active(self) -> Iterator[TrackedRun]:
        """Mark the run as running within the block, and afterwards as finished or failed."""
        self._client.update_run(self.mlflow_run_id, status="RUNNING")
        status = "FAILED"
        try:
            yield self
            status = "FINISHED"
        finally:
            self._client.set_terminated(self.mlflow_run_id, status)


def _without_password(uri: str) -> str:
    """The URI as it may be shown.

    >>> _without_password("postgresql://me:secret@host/db")
    'postgresql://me:***@host/db'
    """
    return re.sub(r"(://[^:/@]+):[^@]*@", r"\1:***@", uri)
