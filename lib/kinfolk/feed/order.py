"""Who reads what, and when: pure arithmetic over row counts, the same on every rank."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """A rank's part of every step: rank `rank` of `size`, `batch_size` rows a step on each rank."""

    rank: int
    size: int
    batch_size: int


@dataclass(frozen=True)
class Shuffle:
    """How rows are mixed: another `seed` gives another order.

    Rows with the same value in the column `keep_together` stay side by side, so that a batch holds them all but where
    it ends in between.
    """

    seed: int
    keep_together: str | None = None
