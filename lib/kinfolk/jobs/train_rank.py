"""What one rank of the train job does; imported in ranks only, since it loads torch."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kinfolk.feed.loader import FeedLoader
from kinfolk.feed.order import Shard
from kinfolk.feed.process import settle_process
from kinfolk.feed.recipe import Recipe
from kinfolk.feed.sampling import Together
from kinfolk.feed.snapshot import FeedPlan
from kinfolk.jobs.train import TrainingTask
from kinfolk.learning.checkpoints import CheckpointFolder, copy_folder
from kinfolk.learning.encoders import Encoder, EncoderShape, build_encoder, save_encoder
from kinfolk.learning.evaluation import Figures, HeldOutBatch, judge_encoders
from kinfolk.learning.items import item_readers, item_tensors
from kinfolk.learning.trainer import EpochFigures, train
from kinfolk.learning.world import World
from kinfolk.run.progress import format_seconds
from kinfolk.tensors import Column, Dense, codes, presence

if TYPE_CHECKING:
    from torch import Tensor

_EVALUATION_ROWS = 512


def train_rank(world: World, report: Callable[[str], None], task: TrainingTask) -> dict[str, Any] | None:
    """Train together with the other ranks; rank 0 evaluates, saves the encoder, and returns curves and figures."""
    settle_process()
    settings = task.learning
    encoder = build_encoder(_shape(task), seed=settings.seed)
    untrained = copy.deepcopy(encoder).eval()
    loader = FeedLoader(
        FeedPlan.from_json(task.training_plan),
        Shard(world.rank, world.size, settings.batch_size),
        Recipe(item_readers(task.image_size), settings.seed, sampling=Together("subject_id"), id_column="item_id"),
        task.feed,
    )
    if world.rank == 0:
        report(f"  {loader.describe()}")
    checkpoints = CheckpointFolder(task.folder)
    on_epoch = _progress(report, settings.epochs) if world.rank == 0 else _ignore
    with closing(loader):
        curves = train(encoder, loader, settings, world=world, checkpoints=checkpoints, on_epoch=on_epoch)
    if world.rank != 0:
        return None
    report("  measuring retrieval of held-out items")
    figures = evaluate(task, {"trained": encoder.eval(), "untrained": untrained})
    keep_encoder(encoder, f"{task.folder}/encoder")
    return {"curves": [asdict(point) for point in curves], "figures": figures}


def evaluate(task: TrainingTask, encoders: dict[str, Encoder]) -> Figures:
    """Judge encoders on the held-out items of the pinned version; empty where none are held out."""
    if task.held_out_plan is None:
        return {}
    return judge_encoders(_held_out_batches(task), encoders)


def _held_out_batches(task: TrainingTask) -> Iterator[HeldOutBatch]:
    """Held-out rows in batches; plain variants take part, and of a very large split whole subjects at random."""
    plan = FeedPlan.from_json(task.held_out_plan or "")
    readers = item_readers(task.image_size) | {"source": codes, "label": codes, "variant": presence}
    shard = Shard(rank=0, size=1, global_batch=_EVALUATION_ROWS)
    loader = FeedLoader(plan, shard, Recipe(readers, seed=0), task.feed.model_copy(update={"remainder": "pad"}))
    # Codes of subjects are evenly spread over 63 bits; in floats the largest would round up to one bit more.
    limit = (2**63 - 1) * min(task.learning.max_evaluation_items, plan.rows) // plan.rows
    for batch in loader.epoch(1):
        items = item_tensors(batch.columns)
        sources_B, labels_B, has_variant_B = (_values(batch.columns[name]) for name in ("source", "label", "variant"))
        yield HeldOutBatch(items, sources_B, labels_B, batch.is_row_B & ~has_variant_B & (items.subjects_B <= limit))


def _values(column: Column) -> Tensor:
    assert isinstance(column, Dense), "codes and presence are dense"
    return column.values_B


def keep_encoder(encoder: Encoder, directory: str) -> None:
    """Save the encoder to a folder on any file system that Arrow knows."""
    with tempfile.TemporaryDirectory() as local:
        save_encoder(local, encoder)
        copy_folder(local, directory)


def _shape(task: TrainingTask) -> EncoderShape:
    return EncoderShape(
        image_size=task.image_size,
        channels=task.learning.channels,
        vocabulary_size=task.vocabulary_size,
        vocabulary_sha256=task.vocabulary_sha256,
        token_size=task.learning.token_size,
        embedding_size=task.learning.embedding_size,
    )


def _progress(report: Callable[[str], None], epochs: int) -> Callable[[EpochFigures], None]:
    """A function that reports an epoch and the time left, by the mean of the epochs it has seen."""
    seconds: list[float] = []

    def on_epoch(figures: EpochFigures) -> None:
        seconds.append(figures.seconds)
        left = sum(seconds) / len(seconds) * (epochs - figures.epoch)
        report(
            f"  epoch {figures.epoch} of {epochs}: loss {figures.loss:.3f}, {figures.rows:,} rows in "
            f"{format_seconds(figures.seconds)}, about {format_seconds(left)} of training left"
        )

    return on_epoch


def _ignore(figures: EpochFigures) -> None:
    """Rank 0 reports for all."""
