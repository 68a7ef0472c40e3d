"""The tracker against a real MLflow on SQLite: a rerun changes nothing, and the alias moves when it is told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinfolk.errors import NotFoundError, SettingsError
from kinfolk.settings import TrackingSettings
from kinfolk.tracking import MetricPoint, Tracker

CURVE = [MetricPoint("loss", epoch, 1 / epoch) for epoch in (1, 2, 3)]


@pytest.fixture(scope="module")
def lake_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One server for all tests of this module, since making its tables takes seconds."""
    return str(tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="module")
def tracker(lake_root: str) -> Tracker:
    return Tracker(TrackingSettings(), lake_root)


def make_files(folder: Path, content: str) -> str:
    folder.mkdir()
    (folder / "config.json").write_text(content)
    return str(folder)


def test_model_that_was_never_promoted_is_not_found(tracker: Tracker) -> None:
    with pytest.raises(NotFoundError, match="run the train job"):
        tracker.resolve("nothing")


def test_registering_twice_under_one_run_makes_one_version(tracker: Tracker, tmp_path: Path) -> None:
    first = tracker.register("encoder", make_files(tmp_path / "a", "one"), run_id="run-1")
    again = tracker.register("encoder", make_files(tmp_path / "b", "one"), run_id="run-1")
    other = tracker.register("encoder", make_files(tmp_path / "c", "two"), run_id="run-2")
    assert first == again
    assert (first.name, first.version, other.version) == ("kinfolk-encoder", "1", "2")
    tracker.promote("encoder", first.version)
    assert tracker.resolve("encoder") == first
    assert (Path(tracker.resolve("encoder").directory) / "config.json").read_text() == "one"
    tracker.promote("encoder", other.version)
    assert tracker.peek_version("encoder") == "2"
    assert (Path(tracker.resolve("encoder").directory) / "config.json").read_text() == "two"


def test_rerun_continues_the_same_run_and_does_not_double_its_curves(tracker: Tracker, lake_root: str) -> None:
    from mlflow import MlflowClient

    for points in (CURVE[:2], CURVE, CURVE):
        with tracker.training_run("run-9").active() as run:
            run.log(parameters={"seed": 0}, tags={"kinfolk.delta_version": 7})
            run.log_metrics(points)
    client = MlflowClient(f"sqlite:///{lake_root}/_tracking/mlflow.db")
    experiment = client.get_experiment_by_name("kinfolk")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`kinfolk.run_id` = 'run-9'")
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert runs[0].data.params == {"seed": "0"}
    assert runs[0].data.tags["kinfolk.delta_version"] == "7"
    history = client.get_metric_history(runs[0].info.run_id, "loss")
    assert sorted((m.step, m.value) for m in history) == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]


def test_everything_lies_beside_the_tables(tracker: Tracker, lake_root: str, tmp_path: Path) -> None:
    version = tracker.register("kept", make_files(tmp_path / "a", "here"), run_id="run-5")
    assert version.directory.startswith(f"{lake_root}/_tracking/artifacts/")
    assert not Path("mlruns").exists()


def test_failed_run_is_marked_so(tracker: Tracker, lake_root: str) -> None:
    from mlflow import MlflowClient

    run = tracker.training_run("run-7")
    with pytest.raises(ZeroDivisionError), run.active():
        raise ZeroDivisionError
    client = MlflowClient(f"sqlite:///{lake_root}/_tracking/mlflow.db")
    assert client.get_run(run.mlflow_run_id).info.status == "FAILED"


def test_remote_lake_needs_a_server() -> None:
    with pytest.raises(SettingsError, match=r"tracking\.uri"):
        Tracker(TrackingSettings(), "s3://bucket/lake")
    Tracker(TrackingSettings(uri="http://localhost:5000"), "s3://bucket/lake")
