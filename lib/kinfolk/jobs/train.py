"""Train the encoders of pictures and texts on the training split, and promote them.

Horovod ranks run as tasks of the Spark session, each fed from one pinned version of item_features. A killed training
goes on from its last checkpoint when it is started again. The alias moves last, when model and metrics are in place.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kinfolk.errors import DataError
from kinfolk.run import Job
from kinfolk.settings import FeedSettings, LearningSettings, Settings
from kinfolk.tables.catalog import ITEM_FEATURES, TEXT_VOCABULARY, TRAINING_METRICS
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from kinfolk.run import Run
    from kinfolk.tracking import MetricPoint, Tracker

MODEL = "encoder"
_CURVES = ("loss", "learning_rate", "seconds", "wait_seconds", "rows", "bytes")


@dataclass(frozen=True)
class TrainingTask:
    """What the ranks are told: plans of the two splits, what the encoder is built from, and where checkpoints go."""

    training_plan: str
    held_out_plan: str | None
    training_rows: int
    image_size: int
    vocabulary_size: int
    vocabulary_sha256: str
    folder: str
    learning: LearningSettings
    feed: FeedSettings


@dataclass(frozen=True)
class Measured:
    """One row of training_metrics."""

    encoder: str
    metric: str
    epoch: int
    value: float


def train(run: Run) -> None:
    """Register a new version of the encoder, write its curves and figures, then move the alias to it."""
    from kinfolk.engines.launch import RankCall, run_ranks
    from kinfolk.feed.order import count_rows

    settings = run.settings.learning
    task = plan_training(run)
    run.note(
        f"  {task.training_rows:,} rows of item_features version {run.snapshot(ITEM_FEATURES).version}, "
        f"{settings.ranks} ranks, {settings.epochs} epochs"
    )
    outcome = run_ranks(
        RankCall("kinfolk.jobs.train_rank:train_rank", (task,)),
        ranks=settings.ranks,
        threads=settings.threads,
        spark=run.spark,
        on_report=run.note,
        interface=settings.network_interface,
    )[0]
    check_rows(outcome["curves"], count_rows(task.training_rows, settings.batch_size, task.feed.remainder))
    measured = list_measured(outcome, settings.epochs)
    tracker = run.tracker()
    version = record(run, tracker, task, measured, digest_feed(outcome["curves"]))
    run.replace(TRAINING_METRICS, run.frame(to_rows(measured, run.run_id)), where={"training_run_id": run.run_id})
    tracker.promote(MODEL, version)
    run.note(describe_figures(outcome["figures"]))


def plan_training(run: Run) -> TrainingTask:
    """Pin the splits of item_features and look up what the encoder is built from.

    Raises DataError where there is nothing to train on.
    """
    training_plan = _plan(run, "train")
    if training_plan is None:
        raise DataError(
            f"none of the {run.rows(ITEM_FEATURES):,} rows of item_features is in the training split; bring more "
            "items, or hold out fewer with --set features.held_out_share=0.1"
        )
    held_out_plan = _plan(run, "held_out")
    vocabulary_size, vocabulary_sha256 = _vocabulary(run)
    return TrainingTask(
        training_plan=training_plan.to_json(),
        held_out_plan=held_out_plan.to_json() if held_out_plan else None,
        training_rows=training_plan.rows,
        image_size=_image_size(run),
        vocabulary_size=vocabulary_size,
        vocabulary_sha256=vocabulary_sha256,
        folder=run.folder("checkpoints"),
        learning=run.settings.learning,
        feed=run.settings.feed,
    )


def _plan(run: Run, split: str) -> Any:
    """The row groups of one split of the pinned version; None where it has no rows."""
    from kinfolk.feed.conditions import Condition
    from kinfolk.feed.snapshot import pin_snapshot, plan_row_groups

    snapshot = run.snapshot(ITEM_FEATURES)
    pinned = pin_snapshot(snapshot.path, snapshot.version, where=[Condition("split", "=", split)])
    return plan_row_groups(pinned) if any(file.rows for file in pinned.files) else None


def _image_size(run: Run) -> int:
    """Height and width of the pictures, from the first one of the training split."""
    from pyspark.sql import functions as F

    pictures = run.read(ITEM_FEATURES).where("split = 'train' AND image IS NOT NULL")
    first = pictures.select(F.length("image")).first()
    if first is None:
        raise DataError(
            "no item of the training split has a picture, and encoders learn from pictures; name the column with "
            "the pictures (sources.items[…].image), or leave train out with `kinfolk run --only …`"
        )
    return math.isqrt(first[0] // 3)


def _vocabulary(run: Run) -> tuple[int, str]:
    """Number of tokens, and the hash that tells this vocabulary from others."""
    from kinfolk.learning.encoders import hash_vocabulary

    snapshot = run.snapshot(TEXT_VOCABULARY)
    rows = run.lake.read(TEXT_VOCABULARY, columns=["token", "token_id"], version=snapshot.version)
    tokens = rows.sort_by("token_id").column("token").to_pylist()
    return len(tokens), hash_vocabulary(tokens)


def check_rows(curves: list[dict[str, Any]], expected: int) -> None:
    """Raise DataError unless every epoch saw as many rows as are planned: all of the training split, as a rule."""
    wrong = {point["epoch"]: point["rows"] for point in curves if point["rows"] != expected}
    if wrong:
        raise DataError(f"{expected} rows are planned for each epoch, and some saw others: {wrong}; run train again")


def digest_feed(curves: list[dict[str, Any]]) -> str:
    """One hash for the ids of every global batch of a training, in their order: equal where the same was fed."""
    return hashlib.sha256(" ".join(point["digest"] for point in curves).encode()).hexdigest()[:16]


def list_measured(outcome: dict[str, Any], epochs: int) -> list[Measured]:
    """Curves and figures as rows; what was measured without training stands at epoch 0."""
    curves = [
        Measured("trained", name, point["epoch"], float(point[name])) for point in outcome["curves"] for name in _CURVES
    ]
    figures = [
        Measured(encoder, metric, epochs if encoder == "trained" else 0, value)
        for encoder, of_one in outcome["figures"].items()
        for metric, value in of_one.items()
    ]
    return curves + figures


def record(run: Run, tracker: Tracker, task: TrainingTask, measured: list[Measured], feed_digest: str) -> str:
    """Write parameters, curves and the model to the tracking server; returns the model's version."""
    from kinfolk.learning.checkpoints import copy_folder

    snapshot = run.snapshot(ITEM_FEATURES)
    sections = {"learning": task.learning, "feed": task.feed}
    parameters = {f"{name}.{key}": value for name, s in sections.items() for key, value in s.model_dump().items()}
    tags = {
        "kinfolk.table": snapshot.path,
        "kinfolk.table_id": snapshot.table_id,
        "kinfolk.delta_version": snapshot.version,
        "kinfolk.training_rows": task.training_rows,
        "kinfolk.feed_digest": feed_digest,
    }
    with tracker.training_run(run.run_id).active() as tracked, tempfile.TemporaryDirectory() as local:
        tracked.log(parameters=parameters, tags=tags)
        tracked.log_metrics(_point(m) for m in measured)
        copy_folder(f"{task.folder}/encoder", local)
        return tracker.register(MODEL, local, run_id=run.run_id).version


def _point(measured: Measured) -> MetricPoint:
    """A curve keeps its name on the tracking server; a figure is told apart by its encoder."""
    from kinfolk.tracking import MetricPoint

    is_curve = measured.metric in _CURVES
    name = measured.metric if is_curve else f"{measured.encoder}.{measured.metric}"
    return MetricPoint(name, measured.epoch, measured.value)


def to_rows(measured: list[Measured], run_id: str) -> pa.Table:
    """Rows of training_metrics."""
    names = [column for column in TRAINING_METRICS.content if column != "training_run_id"]
    columns = {name: [getattr(m, name) for m in measured] for name in names}
    schema = pa.schema([TRAINING_METRICS.arrow_schema().field(name) for name in TRAINING_METRICS.content])
    return pa.table({"training_run_id": [run_id] * len(measured)} | columns, schema=schema)


def describe_figures(figures: dict[str, dict[str, float]]) -> str:
    """The headline figures in one line."""
    shown = (
        ("image_to_image.recall_at_1", "picture → picture, recall@1"),
        ("text_to_image.recall_at_10", "text → picture, recall@10"),
    )
    parts = []
    for metric, meaning in shown:
        values = [
            f"{name.replace('_', ' ')} {of_one[metric]:.3f}" for name, of_one in figures.items() if metric in of_one
        ]
        parts += [f"{meaning}: {', '.join(values)}"] if values else []
    return "  held-out items: " + ("; ".join(parts) if parts else "none of them could be asked for")


def _tracking_files(settings: Settings) -> list[str]:
    """The default tracking server's file: without it there is no model, whatever the tables say."""
    lake = Lake(settings.lake.root)
    return [os.path.join(lake.root, "_tracking", "mlflow.db")] if lake.is_local and not settings.tracking.uri else []


JOB = Job(
    "train",
    train,
    reads=(ITEM_FEATURES, TEXT_VOCABULARY),
    writes=(TRAINING_METRICS,),
    sections=("feed", "learning", "tracking"),
    needs=("sources.items",),
    products=_tracking_files,
)
