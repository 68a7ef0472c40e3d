"""Batches of a pinned table for one rank: row groups in, tensors out.

Worker threads read a row group, make tensors of its columns, change them if the caller asks for it, and put each row
where its batch wants it (`windows`). One window is handed out while the next one is filled.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator
from contextlib import ExitStack, closing
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
        arenas = Arenas(is_pinned=self._device.type == "cuda")
        self._feeding = Feeding(plan, shard, recipe, settings, RowGroupReader(plan), arenas)
        self._ahead: Epoch | None = None
        self._epoch, self._step = 0, 0
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
        return FeedState(feed=self._fingerprint, epoch=self._epoch, step=self._step)

    def load_state(self, state: FeedState) -> None:
        """Have the epoch that the state names go on where it stood; ranks may be more or fewer than they were.

        Raises DataError where it is the state of a feed with another sequence of batches.
        """
        if state["feed"] != self._fingerprint:
            raise DataError(
                f"the state was taken from feed {state['feed']}, this one is {self._fingerprint}: table version, "
                "columns, seed, global batch, sampling and window have to be the same"
            )
        self._epoch, self._step = state["epoch"], state["step"]
        self._is_loaded = True

    def describe(self) -> str:
        """How well batches mix the table, in one line."""
        settings = self._settings
        sizes = self.plan.sizes(self._recipe.sources).tolist()
        largest = max(sizes) / 2**20
        told = (
            f"{self.plan.rows:,} rows in {len(sizes):,} row groups of up to {largest:,.1f} MiB; "
            f"{self.steps_per_epoch:,} steps an epoch"
        )
        if settings.mixing == "none":
            return f"{told}, in the order of the table"
        share = 1 / len(self._feeding.cut_windows(self._feeding.order_row_groups(1)))
        told += f", whose rows are mixed over {share:.0%} of the table at a time"
        if share < 1 and max(sizes) > settings.window_bytes / 4:
            told += (
                "; a window holds few row groups, so rows that stand together in the table stay together: write it "
                "with smaller row groups, or raise feed.memory_bytes"
            )
        return told

    def epoch(self, number: int, *, following: int | None = None) -> Generator[Batch]:
        """Read one epoch; every number gives another order, the same number the same again.

        The first window of the epoch that is said to be `following` is read while the last one is handed out, and waits
        for its turn, or for `close`. Starts where `load_state` has just put it, if that was in this epoch. Raises
        DataError naming file and row group where one cannot be read, and where other rows came than are planned.
        Closing the iterator stops reading.
        """
        epoch = self._take_epoch(number)
        self._epoch, self._step = number, epoch.first_step
        self.numbers = epoch.numbers
        self._ahead = Epoch(self._feeding, following, first_step=0) if following is not None else None
        batches = send_batches(epoch.batches(self._ahead), self._device)
        with ExitStack() as on_stop:
            on_stop.callback(self.close)
            on_stop.enter_context(closing(batches))
            while True:
                asked = time.perf_counter()
                batch = next(batches, None)
                epoch.numbers.wait_seconds += time.perf_counter() - asked
                if batch is None:
                    on_stop.pop_all()
                    break
                self._step += 1
                yield batch
                del batch

    def _take_epoch(self, number: int) -> Epoch:
        """An epoch, from where it has to start: the one that was begun ahead, if it is that."""
        first_step = self._step if self._is_loaded and self._epoch == number else 0
        self._is_loaded = False
        ahead, self._ahead = self._ahead, None
        if ahead and (ahead.number, first_step) == (number, 0):
            return ahead
        if ahead:
            ahead.close()
        return Epoch(self._feeding, number, first_step)

    def close(self) -> None:
        """Stop reading the epoch that would have followed."""
        if self._ahead:
            self._ahead.close()
            self._ahead = None
