"""The whole train job: what it leaves, also after a kill, and what it refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow as pa
import pytest
from tiny_items import TOKENS, make_features, make_vocabulary, put_rows

from kinfolk.errors import DataError
from kinfolk.jobs.train import JOB, TrainingTask
from kinfolk.run import Outcome, run_job
from kinfolk.settings import FeedSettings, LearningSettings, Settings
from kinfolk.tables.catalog import ITEM_FEATURES, TEXT_VOCABULARY, TRAINING_METRICS
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeSettings = Callable[..., Settings]
SECTION = {"channels": [4, 8], "embedding_size": 16, "token_size": 8, "batch_size": 16, "checkpoint_epochs": 1}
EPOCHS = 30

TRAIN_AND_DIE = """
import os, signal, sys
import psutil
os.environ["PYSPARK_SUBMIT_ARGS"] = "--driver-memory 512m pyspark-shell"
from kinfolk.jobs.train import JOB
from kinfolk.run import run_job
from kinfolk.settings import Settings

def die_at(message):
    if "epoch 3 of" in message:
        print(len(psutil.Process().children(recursive=True)), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

run_job(JOB, Settings.model_validate_json(sys.argv[1]), note=die_at)
"""


def go(settings: Settings, spark: SparkSession) -> Outcome:
    return run_job(JOB, settings, spark=spark, run_date=date(2026, 1, 31))


def put_items(lake: str, features: pa.Table) -> None:
    put_rows(lake, TEXT_VOCABULARY, make_vocabulary())
    put_rows(lake, ITEM_FEATURES, features)


def metrics_of(lake: str) -> dict[tuple[str, str, int], float]:
    rows = Lake(lake).read(TRAINING_METRICS).to_pylist()
    assert len({(row["encoder"], row["metric"], row["epoch"]) for row in rows}) == len(rows)
    return {(row["encoder"], row["metric"], row["epoch"]): row["value"] for row in rows}


def processes_of(lake: str) -> list[int]:
    """Processes that were started below a driver of this lake and still run."""
    return [
        process.pid
        for process in psutil.process_iter(["environ"])
        if (process.info["environ"] or {}).get("KINFOLK_TEST_LAKE") == lake and process.status() != psutil.STATUS_ZOMBIE
    ]


def test_killed_training_leaves_no_process_and_goes_on_to_one_champion_and_one_curve(
    make_settings: MakeSettings, lake: str, spark: SparkSession
) -> None:
    put_items(lake, make_features(60))
    settings = make_settings(learning=SECTION | {"epochs": EPOCHS})
    killed = subprocess.run(
        [sys.executable, "-c", TRAIN_AND_DIE, settings.model_dump_json()],
        env=os.environ | {"KINFOLK_TEST_LAKE": lake},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=500,
    )
    assert killed.returncode == -signal.SIGKILL
    # JVM, Spark's daemon and two workers, two shells, two ranks at the least.
    assert int(killed.stdout) >= 8
    deadline = time.monotonic() + 60
    while processes_of(lake) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_of(lake) == []

    newest = sorted(Path(lake).glob("_checkpoints/*/*.safetensors"))[-1]
    kept = int(newest.stem.removeprefix("epoch-"))
    assert 2 <= kept < EPOCHS
    notes: list[str] = []
    outcome = run_job(JOB, settings, spark=spark, run_date=date(2026, 1, 31), note=notes.append)
    assert outcome.run_id == newest.parent.name
    assert not any(f"epoch {kept} of" in line for line in notes)
    assert any(f"epoch {kept + 1} of" in line for line in notes)

    metrics = metrics_of(lake)
    rows = make_features(60).column("split").to_pylist().count("train")
    assert {e: v for (_, name, e), v in metrics.items() if name == "rows"} == dict.fromkeys(range(1, EPOCHS + 1), rows)
    assert metrics["trained", "loss", EPOCHS] < metrics["trained", "loss", 1]
    for encoder, epoch in (("trained", EPOCHS), ("untrained", 0), ("raw_pixels", 0), ("chance", 0)):
        assert 0 <= metrics[encoder, "image_to_image.recall_at_1", epoch] <= 1
    assert 0 <= metrics["trained", "text_to_image.recall_at_10", EPOCHS] <= 1
    check_tracking(lake, outcome.run_id, metrics)
    assert go(settings, spark).status == "skipped"


def check_tracking(lake: str, run_id: str, metrics: dict[tuple[str, str, int], float]) -> None:
    """One MLflow run with one curve, one version, which is the champion and loads."""
    from mlflow import MlflowClient

    from kinfolk.learning.encoders import hash_vocabulary, load_encoder
    from kinfolk.settings import TrackingSettings
    from kinfolk.tracking import Tracker

    client = MlflowClient(f"sqlite:///{lake}/_tracking/mlflow.db")
    assert [v.version for v in client.search_model_versions("name = 'kinfolk-encoder'")] == [1]
    model = Tracker(TrackingSettings(), lake).resolve("encoder")
    assert model.version == "1"
    encoder = load_encoder(model.directory)
    assert encoder.shape.vocabulary_sha256 == hash_vocabulary(TOKENS)
    experiment = client.get_experiment_by_name("kinfolk")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["kinfolk.run_id"] == run_id
    assert run.data.tags["kinfolk.delta_version"] == str(Lake(lake).snapshot(ITEM_FEATURES).version)
    assert len(run.data.tags["kinfolk.feed_digest"]) == 16
    assert min(value for (_, name, _), value in metrics.items() if name == "bytes") > 0
    history = {m.step: m.value for m in client.get_metric_history(run.info.run_id, "loss")}
    assert len(client.get_metric_history(run.info.run_id, "loss")) == EPOCHS
    assert history == {e: v for (_, name, e), v in metrics.items() if name == "loss"}


def test_rows_of_an_epoch_are_those_of_the_pinned_version(lake: str, tmp_path: Path) -> None:
    from kinfolk.feed.conditions import Condition
    from kinfolk.feed.snapshot import pin_snapshot, plan_row_groups
    from kinfolk.jobs.train_rank import train_rank
    from kinfolk.learning.world import SingleWorld

    put_items(lake, make_features(60))
    pinned = Lake(lake).snapshot(ITEM_FEATURES)
    plan = plan_row_groups(pin_snapshot(pinned.path, pinned.version, where=[Condition("split", "=", "train")]))
    put_rows(lake, ITEM_FEATURES, make_features(24, seed=5))
    task = TrainingTask(
        training_plan=plan.to_json(),
        held_out_plan=None,
        training_rows=plan.rows,
        image_size=8,
        vocabulary_size=len(TOKENS),
        vocabulary_sha256="",
        folder=str(tmp_path / "checkpoints"),
        learning=LearningSettings.model_validate(SECTION | {"epochs": 2}),
        feed=FeedSettings(),
    )
    outcome = train_rank(SingleWorld(), lambda line: None, task)
    assert outcome is not None
    assert [point["rows"] for point in outcome["curves"]] == [40, 40]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "held_out"}, "held_out_share"),
        ({"image": None}, "has a picture"),
    ],
)
def test_nothing_to_learn_from_is_refused(
    change: dict[str, Any], message: str, make_settings: MakeSettings, lake: str, spark: SparkSession
) -> None:
    features = make_features(20)
    for name, value in change.items():
        column = pa.array([value] * len(features), features.schema.field(name).type)
        features = features.set_column(features.column_names.index(name), features.schema.field(name), column)
    put_items(lake, features)
    with pytest.raises(DataError, match=message):
        go(make_settings(learning=SECTION), spark)
