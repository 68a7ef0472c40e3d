"""What runs inside a Horovod rank: the World over Horovod, and the rank's life from start to end."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from typing import Any

import horovod.torch as hvd
import torch
from torch import Tensor
from torch.optim import Optimizer

from kinfolk.engines.launch import RankOutcome


class HorovodWorld:
    """All ranks of this training, over Horovod; a `kinfolk.learning.world.World`."""

    @property
    def rank(self) -> int:
        """Number of this rank, from 0."""
        return int(hvd.rank())

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return int(hvd.size())

    def gather(self, rows: Tensor) -> Tensor:
        """Rows of all ranks in the order of the ranks; every rank brings equally many."""
        gathered: Tensor = _GatherRows.apply(rows, _name("gather", rows))  # type: ignore[no-untyped-call]
        return gathered

    def sum(self, values: Tensor) -> Tensor:
        """Element-wise sum over the ranks; carries no gradient."""
        total: Tensor = hvd.allreduce(values.detach(), name=_name("sum", values), op=hvd.Sum)
        return total

    def broadcast(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Overwrite named tensors, in place, by those of rank 0."""
        for name, tensor in tensors:
            hvd.broadcast_(tensor, root_rank=0, name=f"broadcast.{name}")

    def distribute(self, optimizer: Optimizer, parameters: Iterable[tuple[str, Tensor]]) -> Optimizer:
        """Make the optimizer step on gradients summed over the ranks.

        Horovod builds a new optimizer from the parameter groups: state has to be loaded into what is returned.
        """
        wrapped: Optimizer = hvd.DistributedOptimizer(optimizer, named_parameters=list(parameters), op=hvd.Sum)
        return wrapped


def _name(kind: str, tensor: Tensor) -> str:
    """A name that comes again with every step, so that Horovod remembers what the ranks agreed on.

    Calls wait for their result: no two of one name are ever under way.
    """
    return ".".join([kind, str(tensor.dtype), *map(str, tensor.shape)])


class _GatherRows(torch.autograd.Function):
    """Gather rows; the gradient of a row is the sum of what every rank found.

    Horovod's own gather averages the gradients. Together with averaged parameter gradients that makes the gradient of
    a loss over gathered rows too small by the number of ranks, so sums are used in both places.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, name: str) -> Tensor:
        ctx.rows, ctx.name = len(rows), name
        gathered: Tensor = hvd.allgather(rows, name=name)
        return gathered

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = hvd.allreduce(gradients[0].contiguous(), name=f"{ctx.name}.gradient", op=hvd.Sum)
        return total.narrow(0, hvd.rank() * ctx.rows, ctx.rows), None


def live(function: Callable[..., Any], arguments: tuple[Any, ...], *, threads: int) -> RankOutcome:
    """Call `function(world, *arguments)` between the start and the end of Horovod.

    What it raises comes back as a value with its trace, and the end of Horovod on this rank makes the waiting calls of
    the others fail at once: a rank that just died would leave them waiting.
    """
    torch.set_num_threads(threads)
    hvd.init()
    world = HorovodWorld()
    rank = world.rank
    try:
        return RankOutcome(rank, value=function(world, *arguments))
    except hvd.HorovodInternalError as error:
        return RankOutcome(rank, error="HorovodInternalError", message=str(error), trace=traceback.format_exc())
    except Exception as error:  # noqa: BLE001 - the driver raises it again, with its trace
        return RankOutcome(rank, error=type(error).__name__, message=str(error), trace=traceback.format_exc())
    finally:
        hvd.shutdown()
