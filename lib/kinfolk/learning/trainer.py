"""The training loop of one rank: equal steps everywhere, checkpoints, and curves.

Shapes: B rows of this rank's batch, D embedding size.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor
from torch.optim import AdamW, Optimizer

from kinfolk.errors import DataError
from kinfolk.learning.augmentation import augment
from kinfolk.learning.checkpoints import Checkpoint, CheckpointFolder, flatten, pick
from kinfolk.learning.encoders import Encoder, scale_pictures
from kinfolk.learning.items import item_tensors
from kinfolk.learning.losses import Embedded, LossWeights, batch_loss
from kinfolk.learning.world import World, count_over
from kinfolk.settings import LearningSettings
from kinfolk.tensors import Column


class Batch(Protocol):
    """One step's rows of one rank."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """The rows, as `item_tensors` wants them."""

    @property
    def is_row_B(self) -> Tensor:  # noqa: N802 - the shape is part of the name
        """False in padded rows."""

    @property
    def rows(self) -> int:
        """Rows that are not padded."""


class EpochNumbers(Protocol):
    """What a loader measured in the epoch begun last."""

    @property
    def wait_seconds(self) -> float:
        """Time spent waiting for the next batch."""

    @property
    def bytes(self) -> int:
        """Decoded bytes that were read."""

    @property
    def digests(self) -> Sequence[int]:
        """For each step a number of 64 bits that stands for the rank's rows and their places."""


class Loader(Protocol):
    """Batches of one rank: equally many on every rank, each with equally many rows."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches of every epoch."""

    @property
    def numbers(self) -> EpochNumbers:
        """Numbers of the epoch begun last."""

    def epoch(self, number: int, *, following: int | None = None) -> Iterator[Batch]:
        """Read one epoch, counted from 1; the loader may begin to read the `following` one before this one ends."""


@dataclass(frozen=True)
class EpochFigures:
    """One point of the curves: mean loss of the steps, last learning rate, rows over all ranks, seconds of this rank.

    `wait_seconds` is the mean over the ranks of the time spent waiting for the next batch, `bytes` what all ranks
    together read. `digest` stands for the ids of each global batch and their order, whatever the number of ranks.
    """

    epoch: int
    loss: float
    learning_rate: float
    seconds: float
    wait_seconds: float
    rows: int
    bytes: int
    digest: str


@dataclass
class Training:
    """An encoder on its way: what changes from step to step, and what a checkpoint holds."""

    encoder: Encoder
    optimizer: Optimizer
    curves: list[EpochFigures]

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.curves)


def train(
    encoder: Encoder,
    loader: Loader,
    settings: LearningSettings,
    *,
    world: World,
    checkpoints: CheckpointFolder,
    on_epoch: Callable[[EpochFigures], None],
) -> list[EpochFigures]:
    """Train the encoder in place and return its curves; goes on from the newest checkpoint where there is one.

    Ranks have to call it together, with the same encoder and settings. An interrupted training that goes on ends with
    the same weights as one in a single piece. Raises DataError when the loss is no longer a finite number.
    """
    training = start_training(encoder, settings, world)
    resume(training, checkpoints, world)
    while training.epoch < settings.epochs:
        figures = run_epoch(training, loader, settings, world)
        if not math.isfinite(figures.loss):
            raise DataError(
                f"the loss of epoch {figures.epoch} is {figures.loss}: training diverged; lower learning.learning_rate "
                f"({settings.learning_rate}) or raise learning.temperature ({settings.temperature})"
            )
        training.curves.append(figures)
        is_due = training.epoch % settings.checkpoint_epochs == 0 or training.epoch == settings.epochs
        if world.rank == 0 and is_due:
            checkpoints.save(_to_checkpoint(training))
        on_epoch(figures)
    return training.curves


def start_training(encoder: Encoder, settings: LearningSettings, world: World) -> Training:
    """Give every rank the weights of rank 0, and an optimizer that steps on the gradients of all ranks."""
    world.broadcast(encoder.state_dict().items())
    optimizer = AdamW(encoder.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return Training(encoder, world.distribute(optimizer, encoder.named_parameters()), [])


def resume(training: Training, checkpoints: CheckpointFolder, world: World) -> None:
    """Put the training where rank 0's newest checkpoint left it."""
    newest = (checkpoints.epochs() or [0])[-1] if world.rank == 0 else 0
    epoch = round(count_over(world, newest))
    if not epoch:
        return
    checkpoint = checkpoints.load(epoch)
    training.encoder.load_state_dict(pick(checkpoint.tensors, "encoder"))
    load_optimizer(training.optimizer, pick(checkpoint.tensors, "optimizer"))
    training.curves[:] = [EpochFigures(**figures) for figures in checkpoint.facts["curves"]]


def run_epoch(training: Training, loader: Loader, settings: LearningSettings, world: World) -> EpochFigures:
    """Take every step of the next epoch."""
    epoch = training.epoch + 1
    started = time.perf_counter()
    generator = Generator().manual_seed(seed_of(settings.seed, epoch, world.rank))
    done, total = (epoch - 1) * loader.steps_per_epoch, settings.epochs * loader.steps_per_epoch
    warm_up = settings.warm_up_epochs * loader.steps_per_epoch
    loss, rows, rate = torch.zeros(()), 0, 0.0
    training.encoder.train()
    following = epoch + 1 if epoch < settings.epochs else None
    for step, batch in enumerate(loader.epoch(epoch, following=following)):
        rate = learning_rate(done + step, total, warm_up=warm_up, peak=settings.learning_rate)
        loss += take_step(training, batch, rate, settings, world=world, generator=generator)
        rows += batch.rows
    numbers = loader.numbers
    sums = world.sum(torch.tensor([float(loss), rows, numbers.wait_seconds, numbers.bytes], dtype=torch.float64))
    mean_loss, all_rows, wait_seconds, all_bytes = sums.tolist()
    return EpochFigures(
        epoch=epoch,
        loss=mean_loss / loader.steps_per_epoch,
        learning_rate=rate,
        seconds=time.perf_counter() - started,
        wait_seconds=wait_seconds / world.size,
        rows=round(all_rows),
        bytes=round(all_bytes),
        digest=digest_epoch(numbers.digests, world),
    )


def digest_epoch(digests: Sequence[int], world: World) -> str:
    """Hash the global batches of an epoch, of each of which every rank knows its own part of the sum modulo 2^64."""
    parts = torch.from_numpy(np.array(digests, dtype=np.uint64).view(np.int64))
    return hashlib.sha256(world.sum(parts).numpy().astype("<i8").tobytes()).hexdigest()[:16]


def take_step(
    training: Training,
    batch: Batch,
    rate: float,
    settings: LearningSettings,
    *,
    world: World,
    generator: Generator,
) -> Tensor:
    """Move the weights once; returns this rank's share of the loss."""
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    training.optimizer.zero_grad()
    pictures, texts = embed_batch(training.encoder, batch, generator, strength=settings.augmentation)
    loss = batch_loss(pictures, texts, LossWeights(settings.temperature, settings.text_weight), world)
    loss.backward()  # type: ignore[no-untyped-call]
    training.optimizer.step()
    return loss.detach()


def embed_batch(encoder: Encoder, batch: Batch, generator: Generator, *, strength: float) -> tuple[Embedded, Embedded]:
    """Embed what a batch has of pictures, changed at random, and of texts; what it lacks is marked invalid.

    A text none of whose tokens is known says nothing, and counts as lacking.
    """
    items = item_tensors(batch.columns)
    pictures_BHWC = augment(scale_pictures(items.images.values_B), generator, strength=strength)
    has_picture_B = batch.is_row_B & items.images.is_present_B
    has_tokens_B = batch.is_row_B & items.texts.is_present_B & (items.texts.offsets_B1.diff() > 0)
    texts_BD = encoder.texts(items.texts.values_T, items.texts.offsets_B1)
    return (
        Embedded(encoder.pictures(pictures_BHWC), items.subjects_B, has_picture_B),
        Embedded(texts_BD, items.subjects_B, has_tokens_B),
    )


def learning_rate(step: int, total: int, *, warm_up: int, peak: float) -> float:
    """Linear warm-up, then half a cosine to zero (Loshchilov & Hutter 2017, SGDR, without restarts).

    >>> [round(learning_rate(step, 10, warm_up=2, peak=1.0), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    warm_up = min(warm_up, total // 2)
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * (1 + math.cos(math.pi * (step - warm_up) / max(total - warm_up, 1))) / 2


def seed_of(seed: int, epoch: int, rank: int) -> int:
    """A seed of 63 bits for what is random in one epoch on one rank."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}/{rank}".encode()).digest()[:8], "little") >> 1


def load_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load the state that `optimizer_tensors` took; learning rates are set anew at every step."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        place, _, key = name.partition(".")
        state.setdefault(int(place), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by place of the parameter and name, such as `0.exp_avg`."""
    state = optimizer.state_dict()["state"]
    return {f"{place}.{key}": tensor for place, of_one in state.items() for key, tensor in of_one.items()}


def _to_checkpoint(training: Training) -> Checkpoint:
    tensors = flatten({"encoder": training.encoder.state_dict(), "optimizer": optimizer_tensors(training.optimizer)})
    return Checkpoint(training.epoch, tensors, {"curves": [asdict(figures) for figures in training.curves]})
