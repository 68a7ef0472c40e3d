"""The ranks that train together, seen from one of them.

Training code is written against `World` and never asks who carries the messages: `SingleWorld` is one process alone,
`kinfolk.engines.ranks` has the one over Horovod.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer


class World(Protocol):
    """What a rank can ask of all ranks together; every call has to be made by all of them, in the same order."""

    @property
    def rank(self) -> int:
        """Number of this rank, from 0."""

    @property
    def size(self) -> int:
        """How many ranks there are."""

    def gather(self, rows: Tensor) -> Tensor:
        """Rows of all ranks in the order of the ranks; the gradient of a row is summed over the ranks that used it."""

    def sum(self, values: Tensor) -> Tensor:
        """Element-wise sum over the ranks; carries no gradient."""

    def broadcast(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Overwrite named tensors, in place, by those of rank 0."""

    def distribute(self, optimizer: Optimizer, parameters: Iterable[tuple[str, Tensor]]) -> Optimizer:
        """Make the optimizer step on gradients summed over the ranks.

        The optimizer's own state has to be loaded into what is returned, not into what was given.
        """


@dataclass(frozen=True)
class SingleWorld:
    """One process alone."""

    rank: int = 0
    size: int = 1

    def gather(self, rows: Tensor) -> Tensor:
        """The rows themselves."""
        return rows

    def sum(self, values: Tensor) -> Tensor:
        """A copy of the values."""
        return values.detach().clone()

    def broadcast(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """There is nobody else to hear it."""

    def distribute(self, optimizer: Optimizer, parameters: Iterable[tuple[str, Tensor]]) -> Optimizer:  # noqa: ARG002
        """The optimizer itself."""
        return optimizer


def first_row(world: World, rows: int) -> int:
    """Where this rank's rows begin among the gathered ones, when each rank holds `rows`.

    >>> first_row(SingleWorld(rank=2, size=3), rows=4)
    8
    """
    return world.rank * rows


def count_over(world: World, value: float) -> float:
    """Sum of one number over the ranks."""
    return float(world.sum(torch.tensor([value], dtype=torch.float64))[0])
