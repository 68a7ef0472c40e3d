"""The join of vectors within blocks: a row is compared with the rows of its own block, and with no others.

Rows are put in the order of their blocks, and all blocks are joined at once by the exact join, whose tiles then lie
along a diagonal: a tile holds many small blocks or a part of a large one, and what it says of rows of two blocks is
masked. Where something may be missed, blocks that are large enough for it are joined one by one instead, each under a
plan of its own.

Shape suffixes: N items, C blocks, P pairs, K neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from kinfolk.settings import JoinSettings, VectorMeasure
from kinfolk.similarity.effort import WHOLE, Share
from kinfolk.similarity.forecast import FEWEST_COMPARISONS, Forecast, add_forecasts, check_budgets
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.recall import Truth
from kinfolk.similarity.vectors.cells import group_rows
from kinfolk.similarity.vectors.forecast import forecast_tiles
from kinfolk.similarity.vectors.items import ItemVectors
from kinfolk.similarity.vectors.join import FEWEST_ROWS, VectorJoin, check_sides, make_wanted
from kinfolk.similarity.vectors.product import join_exactly, join_some
from kinfolk.similarity.vectors.scan import Rows
from kinfolk.similarity.vectors.spaces import Blocks, make_space

_FEWEST_TILE_ROWS = 128
"""Rows of a tile below which handling tiles costs more than multiplying them."""


@dataclass(frozen=True)
class _Part:
    """A large block: the codes of its left items and of those that they are compared with, both rising."""

    left_N: Rows
    base_N: Rows
    join: VectorJoin

    def find(self, share: Share, threads: int) -> tuple[Pairs, Neighbors]:
        """The pairs and neighbours of a share of the block."""
        pairs, neighbors = self.join.find(share, threads=threads)
        return _translate(pairs, neighbors, self.left_N, self.base_N)

    def probe(self, rows: Rows, threads: int) -> tuple[Pairs, Neighbors]:
        """All that those of some rows that are in the block are similar to, exactly."""
        place_N = np.searchsorted(self.left_N, np.intersect1d(rows, self.left_N))
        truth = self.join.probe(place_N, threads=threads)
        return _translate(truth.pairs, truth.neighbors, self.left_N, self.base_N)


class BlockedJoin:
    """A join of vectors within blocks, under the plans of its parts.

    `is_shared` says that it will be computed in shares, which takes more probes of cells. The forecast is that of all
    parts together, measured where there is much to compare if `is_forecast_needed` is None. Raises DataError where it
    says that the join would certainly go beyond its budgets.
    """

    def __init__(
        self,
        left: ItemVectors,
        right: ItemVectors | None,
        settings: JoinSettings,
        *,
        threads: int,
        is_shared: bool = False,
        is_forecast_needed: bool | None = None,
    ) -> None:
        check_sides(left, right, settings)
        base = left if right is None else right
        assert left.block_N is not None
        assert base.block_N is not None
        self._settings, self._wanted, self._items = settings, make_wanted(settings), len(left)
        is_large_C = _find_large(left.block_N, base.block_N, settings)
        order_N, start_C = group_rows(left.block_N, len(is_large_C))
        base_order_N, base_start_C = group_rows(base.block_N, len(is_large_C))
        size_C, base_size_C = (np.diff(starts).astype(float) for starts in (start_C, base_start_C))
        comparisons_C = size_C * base_size_C / (2 if right is None else 1)
        if is_forecast_needed is None:
            is_forecast_needed = bool(comparisons_C.sum() >= FEWEST_COMPARISONS / 2)
        self._large: list[_Part] = []
        for block in np.flatnonzero(is_large_C):
            left_N = order_N[start_C[block] : start_C[block + 1]]
            base_N = base_order_N[base_start_C[block] : base_start_C[block + 1]]
            others = None if right is None else right.take(base_N)
            join = VectorJoin(
                left.take(left_N),
                others,
                settings,
                threads=threads,
                is_shared=is_shared,
                is_forecast_needed=is_forecast_needed,
            )
            self._large.append(_Part(left_N, base_N, join))
        self._left_N = order_N[~is_large_C[left.block_N[order_N]]]
        self._base_N = base_order_N[~is_large_C[base.block_N[base_order_N]]]
        right_ND = None if right is None else right.vectors_ND[self._base_N]
        space = make_space(cast(VectorMeasure, settings.measure), left.vectors_ND[self._left_N], right_ND)
        blocks = Blocks(left.block_N[self._left_N], base.block_N[self._base_N])
        self._space = replace(space, blocks=blocks)
        self._tile_rows = _choose_tile_rows(blocks.base_N, settings.block_rows)
        met = float(comparisons_C[~is_large_C].sum())
        small = Forecast("exact", len(self._left_N) * settings.neighbors, met, threads=threads)
        if is_forecast_needed:
            small = forecast_tiles(self._space, self._wanted, settings, small, tile_rows=self._tile_rows)
        self.forecasts = [add_forecasts([small, *(part.join.forecasts[0] for part in self._large)], self.plan)]
        check_budgets(self.forecasts[0], settings)

    @property
    def plan(self) -> str:
        """How the parts of the join are computed."""
        plans: set[str] = {part.join.plan for part in self._large}
        if len(self._left_N) or not plans:
            plans.add("exact")
        return ", ".join(sorted(plans))

    @property
    def is_exact(self) -> bool:
        """Whether nothing can be missed."""
        return all(part.join.is_exact for part in self._large)

    def find(self, share: Share = WHOLE, *, threads: int) -> tuple[Pairs, Neighbors]:
        """The pairs and neighbours of a share of the rows."""
        pairs, neighbors = join_exactly(
            self._space, self._wanted, block_rows=self._tile_rows, threads=threads, share=share
        )
        found = [_translate(pairs, neighbors, self._left_N, self._base_N)]
        for number, part in enumerate(self._large):
            if sum(len(pairs) for pairs, _ in found) > self._wanted.max_pairs:
                break
            own = self._share_of(number, share)
            if own is not None:
                found.append(part.find(own, threads))
        return _put_together(found)

    def probe(self, rows: Rows, *, threads: int) -> Truth:
        """All that some rows of the left side are similar to, exactly."""
        place_N = np.full(self._items, -1)
        place_N[self._left_N] = np.arange(len(self._left_N))
        places = np.sort(place_N[rows])
        places = places[places >= 0]
        pairs, neighbors = join_some(
            self._space, self._wanted, places, block_rows=self._settings.block_rows, threads=threads
        )
        found = [_translate(pairs, neighbors, self._left_N, self._base_N)]
        found += [part.probe(rows, threads) for part in self._large]
        return Truth(rows, *_put_together(found))

    def _share_of(self, number: int, share: Share) -> Share | None:
        """Which part of a large block belongs to a share: one of all parts if it is too large for one, else all."""
        t, shares = share
        if len(self._large[number].left_N) * shares > self._items:
            return share
        return WHOLE if number % shares == t else None


def _find_large(
    block_N: NDArray[np.int32], base_block_N: NDArray[np.int32], settings: JoinSettings
) -> NDArray[np.bool_]:
    """Which blocks are large enough to be joined by a plan that may miss something."""
    count = 1 + max(int(block_N.max(initial=-1)), int(base_block_N.max(initial=-1)))
    if settings.plan == "exact" or settings.recall == 1 or settings.measure == "inner_product":
        return np.zeros(count, bool)
    is_met_C = np.bincount(block_N, minlength=count) > 0
    is_large_C: NDArray[np.bool_] = is_met_C & (np.bincount(base_block_N, minlength=count) >= FEWEST_ROWS)
    return is_large_C


def _choose_tile_rows(block_N: NDArray[np.int32], most: int) -> int:
    """Rows of a tile: as many as the block of a row has on average, since whatever is more is masked.

    >>> _choose_tile_rows(np.repeat(np.arange(1000, dtype=np.int32), 4), 1024)
    128
    >>> _choose_tile_rows(np.zeros(600, np.int32), 1024)
    600
    """
    size_C = np.bincount(block_N) if len(block_N) else np.ones(1)
    mean = int(np.square(size_C, dtype=float).sum() / size_C.sum())
    return min(most, max(_FEWEST_TILE_ROWS, mean))


def _translate(pairs: Pairs, neighbors: Neighbors, left_N: Rows, base_N: Rows) -> tuple[Pairs, Neighbors]:
    """What was found among some rows, as codes; within a block rows are in the order of their codes."""
    found = Pairs(left_N[pairs.left_P], base_N[pairs.right_P], pairs.similarity_P)
    code_NK = neighbors.code_NK.copy()
    code_NK[code_NK >= 0] = base_N[code_NK[code_NK >= 0]]
    return found, Neighbors(left_N[neighbors.row_N], code_NK, neighbors.similarity_NK)


def _put_together(found: Sequence[tuple[Pairs, Neighbors]]) -> tuple[Pairs, Neighbors]:
    """The pairs of all parts, and the neighbours in the order of their rows."""
    parts = [neighbors for _, neighbors in found if len(neighbors.row_N)]
    pairs = Pairs.joined([pairs for pairs, _ in found])
    if not parts:
        return pairs, Neighbors.none()
    row_N = np.concatenate([part.row_N for part in parts])
    order = np.argsort(row_N)
    code_NK, similarity_NK = (
        np.concatenate([part.code_NK for part in parts])[order],
        np.concatenate([part.similarity_NK for part in parts])[order],
    )
    return pairs, Neighbors(row_N[order], code_NK, similarity_NK)
