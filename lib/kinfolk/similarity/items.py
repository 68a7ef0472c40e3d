"""Both kinds of items, vectors and sets, as the rest of a join sees them."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
import pyarrow as pa

from kinfolk.kernels.compiling import digest_kernels
from kinfolk.settings import JoinSettings
from kinfolk.similarity.blocks import find_blocks, split_rows
from kinfolk.similarity.effort import WHOLE, Share
from kinfolk.similarity.forecast import Forecast
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.recall import Truth
from kinfolk.similarity.sets.items import ItemSets, collapse_set_copies, read_sets
from kinfolk.similarity.sets.join import SetJoin
from kinfolk.similarity.vectors.blocks import BlockedJoin
from kinfolk.similarity.vectors.items import ItemVectors, collapse_copies, read_vectors
from kinfolk.similarity.vectors.join import VectorJoin
from kinfolk.similarity.vectors.scan import Rows

Items = ItemVectors | ItemSets

_KERNELS = digest_kernels("similarity")

_CHANGES_NO_RESULT = {"groups", "probes", "block_rows", "one_task_rows", "max_pairs", "max_memory", "threads"}
"""Settings under which the same pairs and neighbours are found."""


class Join(Protocol):
    """A join under its plan.

    `forecasts` are those of the plans that may be taken, the chosen one first.
    """

    forecasts: list[Forecast]

    @property
    def plan(self) -> str:
        """How the join is computed."""

    @property
    def is_exact(self) -> bool:
        """Whether nothing can be missed."""

    def find(self, share: Share = WHOLE, *, threads: int) -> tuple[Pairs, Neighbors]:
        """The pairs and neighbours of a share of the rows."""

    def probe(self, rows: Rows, *, threads: int) -> Truth:
        """All that some rows of the left side are similar to, exactly."""


def read_items(table: pa.Table, settings: JoinSettings) -> tuple[Items, pa.Table]:
    """Split rows (item_id, value) into those that can be compared, and the rejected with their reason and detail.

    In a join within blocks a row has a block as well, by its number.
    """
    if settings.blocking is None:
        return _read_values(table, settings)
    rows, without_block = split_rows(table)
    items, rejected = _read_values(rows, settings)
    return items.in_blocks(*find_blocks(items.ids, rows)), pa.concat_tables([without_block, rejected])


def _read_values(table: pa.Table, settings: JoinSettings) -> tuple[Items, pa.Table]:
    if settings.compares_vectors:
        return read_vectors(table, is_zero_allowed=settings.measure != "cosine")
    return read_sets(table, settings.tokens)


def collapse_items(items: Items, *, threads: int) -> tuple[Items, pa.Table]:
    """Keep the first of identical items, by id; the others come back as item_id and representative_id."""
    if isinstance(items, ItemVectors):
        return collapse_copies(items)
    return collapse_set_copies(items, threads=threads)


def digest_items(items: Items, settings: JoinSettings) -> pa.Table:
    """What each item is and how it is compared, as item_id and digest: equal ones find the same partners.

    Items without repetition, as they come from `collapse_items`. A digest of 64 bits depends on the vector or the set,
    on its block, on the settings that decide what is found, and on the code that finds it.
    """
    given = settings.model_dump_json(exclude=_CHANGES_NO_RESULT) + _KERNELS
    how = np.frombuffer(hashlib.sha256(given.encode()).digest()[:8], np.uint64)
    return pa.table({"item_id": items.ids, "digest": (items.digests() + how).view(np.int64)})


def plan_items(
    left: Items,
    right: Items | None,
    settings: JoinSettings,
    *,
    threads: int,
    is_shared: bool,
    is_forecast_needed: bool | None = None,
) -> Join:
    """Get a join of two sides, or of one with itself, ready to run, whole or in shares.

    A join is forecast where that is needed; None leaves it to how much there is to compare. Raises DataError where a
    forecast says that it would certainly go beyond its budgets.
    """
    if isinstance(left, ItemVectors):
        assert right is None or isinstance(right, ItemVectors)
        make = VectorJoin if left.block_N is None else BlockedJoin
        return make(left, right, settings, threads=threads, is_shared=is_shared, is_forecast_needed=is_forecast_needed)
    assert right is None or isinstance(right, ItemSets)
    return SetJoin(left, right, settings, threads=threads, is_forecast_needed=is_forecast_needed)
