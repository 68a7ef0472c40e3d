"""Small batches of items that need no table: what tests of training work on, also inside ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from kinfolk.feed.windows import take_rows
from kinfolk.learning.encoders import Encoder, EncoderShape, build_encoder
from kinfolk.learning.losses import LossWeights, batch_loss
from kinfolk.learning.trainer import Training, embed_batch, start_training, take_step
from kinfolk.learning.world import World
from kinfolk.settings import LearningSettings
from kinfolk.tensors import Column, Dense, Ragged

SHAPE = EncoderShape(8, (4, 8), 20, "none", 6, 5)


@dataclass(frozen=True)
class Batch:
    columns: dict[str, Column]
    is_row_B: torch.Tensor
    rows: int


@dataclass
class Numbers:
    wait_seconds: float = 0.25
    bytes: int = 1000
    digests: tuple[int, ...] = (1, 2)


@dataclass
class FixedLoader:
    """Two batches an epoch, other ones every epoch; of `size` ranks, each gets its part of the same rows."""

    rank: int = 0
    size: int = 1
    rows: int = 16
    numbers: Numbers = field(default_factory=Numbers)
    steps_per_epoch: int = 2

    def epoch(self, number: int, *, following: int | None = None) -> Iterator[Batch]:
        for step in range(self.steps_per_epoch):
            yield share(make_batch(self.rows, seed=100 * number + step), self.rank, self.size)


def make_batch(rows: int, *, seed: int) -> Batch:
    """Pairs of similar pictures with a text each; some lack one of the two, and the last row is padding."""
    generator = torch.Generator().manual_seed(seed)
    subjects = torch.arange(rows) // 2
    base = torch.randint(0, 200, (rows // 2, 8, 8, 3), generator=generator)
    images = (base[subjects] + torch.randint(0, 55, (rows, 8, 8, 3), generator=generator)).to(torch.uint8)
    lengths = torch.randint(0, 4, (rows,), generator=generator)
    tokens = (subjects.repeat_interleave(lengths) % 20 + 1).to(torch.int32)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    has_image = torch.arange(rows) % 7 != 3
    return Batch(
        {
            "subject_id": Dense(subjects, torch.ones(rows, dtype=torch.bool)),
            "image": Dense(images, has_image),
            "text_tokens": Ragged(tokens, offsets, lengths > 0),
        },
        torch.arange(rows) < rows - 1,
        rows - 1,
    )


def share(batch: Batch, rank: int, size: int) -> Batch:
    """One rank's rows of a global batch."""
    rows = len(batch.is_row_B) // size
    part = slice(rank * rows, (rank + 1) * rows)
    places = np.arange(part.start, part.stop)
    columns = {name: take_rows(column, places) for name, column in batch.columns.items()}
    is_row_B = batch.is_row_B[part]
    return Batch(columns, is_row_B, int(is_row_B.sum()))


def tiny_settings(**changes: Any) -> LearningSettings:
    """Settings without augmentation, so that ranks and orders can be compared."""
    values = {"epochs": 4, "batch_size": 16, "augmentation": 0.0, "checkpoint_epochs": 1, "warm_up_epochs": 1}
    return LearningSettings(**(values | changes))


def three_steps(world: World, report: Callable[[str], None], *, seed_of_rank: int = 0) -> dict[str, Any]:
    """Gradients of the first step and the weights after three, from weights that differ between ranks at first."""
    settings = tiny_settings()
    training = start_training(build_encoder(SHAPE, seed=seed_of_rank + world.rank), settings, world)
    generator = torch.Generator().manual_seed(0)
    gradients: dict[str, list[float]] = {}
    losses = []
    for step in range(3):
        batch = share(make_batch(16, seed=step), world.rank, world.size)
        losses.append(float(world.sum(take_step(training, batch, 1e-2, settings, world=world, generator=generator))))
        if step == 0:
            gradients = named_values({n: p.grad for n, p in training.encoder.named_parameters() if p.grad is not None})
    report(f"rank {world.rank} of {world.size} took three steps with {torch.get_num_threads()} threads")
    return {"losses": losses, "gradients": gradients, "weights": named_values(training.encoder.state_dict())}


def fail_on_one(world: World, report: Callable[[str], None], failing: int) -> None:
    """Raise on one rank while the others wait for it."""
    from kinfolk.errors import DataError

    if world.rank == failing:
        raise DataError("nothing to learn from")
    world.sum(torch.zeros(1))


def named_values(tensors: dict[str, torch.Tensor]) -> dict[str, list[float]]:
    return {name: tensor.flatten().tolist() for name, tensor in tensors.items()}


def loss_of(encoder: Encoder, batch: Batch, world: World) -> torch.Tensor:
    pictures, texts = embed_batch(encoder, batch, torch.Generator(), strength=0)
    return batch_loss(pictures, texts, LossWeights(0.1, 1.0), world)


__all__ = ["SHAPE", "Batch", "FixedLoader", "Training", "fail_on_one", "loss_of", "make_batch", "share", "three_steps"]
