"""Batches of a pinned table for one rank: row groups in, tensors out.

Worker threads read a row group, make tensors of its columns, change them if the caller asks for it, and put each row
where its batch wants it (`windows`). One window is handed out while the next one is filled.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator
from contextlib import closing
from functools import cached_property
from typing import TypedDict

import torch

from kinfolk.errors import DataError, SettingsError
from kinfolk.feed.batches import Batch, EpochNumbers, send_batches
from kinfolk.feed.epoch import Epoch, Feeding
from kinfolk.feed.order import Shard, count_steps
from kinfolk.feed.recipe import Recipe
from kinfolk.feed.row_groups import RowGroupReader
from kinfolk.feed.sampling import check_sampling
from kinfolk.feed.snapshot import FeedPlan
from kinfolk.feed.windows import Arenas
from kinfolk.settings import FeedSettings


class FeedState(TypedDict):
    """Where a feed stands: the next batch is number `step`, from 0, of `epoch`; `feed` tells what it is a state of."""

    feed: str
    epoch: int
    step: int


class FeedLoader:
    """Feeds one rank from a plan: `for batch in loader.epoch(1): …`.

    Every rank takes the same number of steps. Without a sampling, an epoch has every row of the plan exactly once over
    all ranks, but for what the settings say about the remainder. Which rows make up each global batch follows from
    plan, columns, seed, epoch, size of the global batch, sampling and window alone, whatever the number of ranks and
    workers. `numbers` are those of the epoch that was begun last.
    """

    def __init__(
        self, plan: FeedPlan, shard: Shard, recipe: Recipe, settings: FeedSettings, device: torch.device | str = "cpu"
    ) -> None:
        """Raises DataError where the plan lacks a column, SettingsError where batches cannot be made as asked."""
        recipe.check(plan)
        if recipe.sampling:
            check_sampling(recipe.sampling, shard)
        self.plan = plan
        self.shard = shard
        self.numbers = EpochNumbers()
        self._recipe = recipe
        self._settings = settings
        self._device = torch.device(device)
        self._reader = RowGroupReader(plan)
        self._arenas = Arenas(is_pinned=self._device.type == "cuda")
        self._state = FeedState(feed=self._fingerprint, epoch=0, step=0)
        self._is_loaded = False
        if not self.steps_per_epoch:
            raise SettingsError(
                f"{plan.rows} rows do not fill one global batch of {shard.global_batch}, and the remainder is dropped; "
                "take smaller batches, or set feed.remainder to pad or wrap"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Batches of every epoch, on every rank."""
        return count_steps(self.plan.rows, self.shard.global_batch, self._settings.remainder)

    @cached_property
    def _fingerprint(self) -> str:
        """What the sequence of global batches depends on, as a hash."""
        settings = self._settings
        parts = [
            self.plan.to_json(),
            self._recipe.seed,
            self.shard.global_batch,
            str(self._recipe.sampling),
            self._recipe.sources,
            [settings.mixing, settings.window_row_groups, settings.memory_bytes, settings.remainder],
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def state(self) -> FeedState:
        """Where the feed stands, for `load_state`: small, and made of what JSON knows."""
        return FeedState(**self._state)

    def load_state(self, state: FeedState) -> None:
        """Have the epoch that the state names go on where it stood; ranks may be more or fewer than they were.

        Raises DataError where it is the state of a feed with another sequence of batches.
        """
        if state["feed"] != self._fingerprint:
            raise DataError(
                f"the state was taken from feed {state['feed']}, this one is {self._fingerprint}: table version, "
                "columns, seed, global batch, sampling and window have to be the same"
            )
        self._state = FeedState(**state)
        self._is_loaded = True

    def describe(self) -> str:
        """How well batches mix the table, in one line."""
        settings = self._settings
        sizes = self.plan.sizes(self._recipe.sources)
        largest = max(sizes) / 2**20
        told = (
            f"{self.plan.rows:,} rows in {len(sizes):,} row groups of up to {largest:,.1f} MiB; "
            f"{self.steps_per_epoch:,} steps an epoch"
        )
        if settings.mixing == "none":
            return f"{told}, in the order of the table"
        share = 1 / len(self._begin(number=1, first_step=0, numbers=EpochNumbers()).runs)
        told += f", whose rows are mixed over {share:.0%} of the table at a time"
        if share < 1 and max(sizes) > settings.window_bytes / 4:
            told += (
                "; a window holds few row groups, so rows that stand together in the table stay together: write it "
                "with smaller row groups, or raise feed.memory_bytes"
            )
        return told

    def epoch(self, number: int) -> Generator[Batch]:
        """Read one epoch; every number gives another order, the same number the same again.

        Starts where `load_state` has just put it, if that was in this epoch. Raises DataError naming file and row group
        where one cannot be read, and where other rows came than are planned. Closing the iterator stops reading.
        """
        first_step = self._state["step"] if self._is_loaded and self._state["epoch"] == number else 0
        self._is_loaded = False
        self._state = FeedState(feed=self._fingerprint, epoch=number, step=first_step)
        self.numbers = numbers = EpochNumbers()
        batches = send_batches(self._begin(number, first_step, numbers).batches(), self._device)
        with closing(batches):
            while True:
                asked = time.perf_counter()
                batch = next(batches, None)
                numbers.wait_seconds += time.perf_counter() - asked
                if batch is None:
                    break
                self._state["step"] += 1
                yield batch
                del batch

    def _begin(self, number: int, first_step: int, numbers: EpochNumbers) -> Epoch:
        feeding = Feeding(self.plan, self.shard, self._recipe, self._settings, self._reader, self._arenas)
        return Epoch(feeding, number, first_step, numbers)
