"""kinfolk's feed in a process of its own, as in a rank: for epochs, memory, ranks, and a training on one thread."""

from __future__ import annotations

import sys
from dataclasses import asdict
from itertools import repeat
from pathlib import Path

import torch
from serving import serve

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from kinfolk.feed.batches import Batch
from kinfolk.feed.loader import FeedLoader
from kinfolk.feed.order import Shard
from kinfolk.feed.process import settle_process
from kinfolk.feed.snapshot import FeedPlan
from kinfolk.settings import Mixing
from tests.benchmarks._feed_sides import ALL, BATCH_SIZE, FLOATS, NARROW, make_loader, read_epoch


def read_status(name: str) -> int:
    """A line of the kernel's account of this process, in bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


# As ranks do.
settle_process()
BEFORE = read_status("VmHWM")


LOADER: list[FeedLoader] = []


def open_loader(plan: str, columns: list[str], mixing: Mixing) -> int:
    """Make the loader that `read_rows` reads with; return the steps of its epochs."""
    LOADER[:] = [make_loader(FeedPlan.from_json(plan), columns=tuple(columns), mixing=mixing)]
    return LOADER[0].steps_per_epoch


def read_rows(checked: bool) -> dict[str, float]:
    """Read an epoch."""
    return asdict(read_epoch(LOADER[0], checked=checked))


def measure_memory(plan: str, epochs: int) -> dict[str, object]:
    """Read epochs, and say how much more memory was resident at most than after the imports."""
    loader = make_loader(FeedPlan.from_json(plan))
    rows, resident = [], []
    for number in range(1, epochs + 1):
        most = 0
        for batch in loader.epoch(number):
            if loader.numbers.batches % 20 == 0:
                most = max(most, read_status("VmRSS"))
            del batch
        rows.append(loader.numbers.rows)
        resident.append(most)
    return {"rows": rows, "resident": resident, "peak": read_status("VmHWM") - BEFORE}


def first_batch(plan: str, rank: int, ranks: int) -> int:
    """Get a rank's first batch; return its rows."""
    batches = make_loader(FeedPlan.from_json(plan), columns=NARROW, shard=Shard(rank, ranks, BATCH_SIZE)).epoch(1)
    rows = int(next(batches).is_row_B.sum())
    batches.close()
    return rows


class Training:
    """A two-layer perceptron that computes on one thread."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(torch.nn.Linear(FLOATS, 512), torch.nn.ReLU(), torch.nn.Linear(512, 64))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)

    def step(self, batch: Batch) -> int:
        """Take one step; return the rows it was taken on."""
        self.optimizer.zero_grad()
        self.model(batch.columns["vector"].values_B).square().mean().backward()
        self.optimizer.step()
        return int(batch.is_row_B.sum())


def train_fed(plan: str, epochs: int) -> int:
    """Train on epochs of all columns, read by one worker."""
    training = Training()
    loader = make_loader(FeedPlan.from_json(plan), columns=ALL, workers=1)
    rows = 0
    for epoch in range(1, epochs + 1):
        batches = loader.epoch(epoch, following=epoch + 1 if epoch < epochs else None)
        rows += sum(map(training.step, batches))
    return rows


def train_frozen(plan: str, epochs: int) -> int:
    """Train on the first batch as many times as so many epochs have batches, the last of which are not full."""
    training = Training()
    whole = FeedPlan.from_json(plan)
    batches = make_loader(whole, columns=ALL, workers=1).epoch(1)
    batch = next(batches)
    batches.close()
    steps, left = divmod(whole.rows, BATCH_SIZE)
    rows = sum(map(training.step, repeat(batch, epochs * steps)))
    return rows + sum(min(training.step(batch), left) for _ in range(epochs))


serve(
    {
        "open_loader": open_loader,
        "read_rows": read_rows,
        "measure_memory": measure_memory,
        "first_batch": first_batch,
        "train_fed": train_fed,
        "train_frozen": train_frozen,
    }
)
