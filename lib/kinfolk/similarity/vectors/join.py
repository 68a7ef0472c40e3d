"""Joining vectors: the plan that reaches the recall wanted, and the truth to measure it by.

Shape suffixes: N items, P pairs, K neighbours.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import JoinSettings, VectorMeasure
from kinfolk.similarity.effort import WHOLE, Share
from kinfolk.similarity.forecast import Forecast, check_budgets
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.recall import Truth, estimate_recall
from kinfolk.similarity.vectors.cells import (
    Cells,
    Probes,
    cell_count,
    count_products,
    count_visited,
    find_homes,
    find_probes,
    join_cells,
    make_cells,
    measure_borders,
)
from kinfolk.similarity.vectors.forecast import Outlook
from kinfolk.similarity.vectors.items import ItemVectors
from kinfolk.similarity.vectors.product import join_exactly, join_some
from kinfolk.similarity.vectors.scan import Rows, Wanted
from kinfolk.similarity.vectors.signs import PRODUCT_SECONDS, HalfKeys, SignPlan, join_signs, make_half_keys, plan_signs
from kinfolk.similarity.vectors.spaces import make_space

VectorPlan = Literal["exact", "cells", "signs"]

FEWEST_ROWS = 5000
"""Base rows below which other plans than the exact one are not worth their making."""


def join_vectors(
    left: ItemVectors, right: ItemVectors | None, settings: JoinSettings, *, threads: int, share: Share = WHOLE
) -> tuple[Pairs, Neighbors]:
    """Join items as vectors, with themselves where `right` is None; similarities are exact.

    A share is the t-th of T parts: each pair is in one of them, and so is each row with all its neighbours. More pairs
    than `settings.max_pairs` are not looked for. Raises SettingsError where the settings ask for what vectors cannot
    give, and DataError where the two sides have vectors of different lengths.
    """
    # A product takes one thread; there are as many products at a time as there are threads.
    with threadpool_limits(1):
        join = VectorJoin(left, right, settings, threads=threads, is_shared=share != WHOLE)
        return join.find(share, threads=threads)


@dataclass(frozen=True)
class _CellPlan:
    """Cells, which queries probe which of them, and how many base rows a query meets there on average."""

    cells: Cells
    probes: Probes
    visited: float


class VectorJoin:
    """A join of vectors under its plan: "exact", "cells" with as many probes as the recall needs, or "signs".

    `is_shared` says that it will be computed in shares, which takes more probes of cells. `forecasts` are those of the
    plans that may be taken, the chosen one first; whether the exact one is measured for them is left to the size of the
    join where `is_forecast_needed` is None. Raises DataError where a forecast says that the join would certainly go
    beyond its budgets.
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
        self._settings, self._is_shared = settings, is_shared
        self._wanted = make_wanted(settings)
        measure = cast(VectorMeasure, settings.measure)
        self.space = make_space(measure, left.vectors_ND, None if right is None else right.vectors_ND)
        outlook = Outlook(self.space, self._wanted, settings, threads, is_shared)
        self._keys = self._make_keys(threads) if self._may_use_signs() else None
        is_in_cells = self._keys is None and self._may_use_cells()
        is_in_cells = is_in_cells and (settings.plan == "cells" or outlook.is_less_in_cells())
        if is_in_cells or (outlook.is_worth_learning if is_forecast_needed is None else is_forecast_needed):
            outlook = outlook.learn(is_in_cells=is_in_cells)
        check_budgets(outlook.forecast_cells(0.0) if is_in_cells else outlook.forecast_exact(), settings)
        self._cells = self._plan_cells(outlook) if is_in_cells else None
        self.forecasts = self._forecast(outlook)

    @property
    def plan(self) -> VectorPlan:
        """How the join is computed."""
        if self._keys is not None:
            return "signs"
        return "exact" if self._cells is None else "cells"

    @property
    def is_exact(self) -> bool:
        """Whether nothing can be missed."""
        return self.plan == "exact"

    def find(self, share: Share = WHOLE, *, threads: int) -> tuple[Pairs, Neighbors]:
        """The pairs and neighbours of a share of the rows."""
        if self._keys is not None:
            return join_signs(self.space, self._wanted, self._keys, threads=threads, share=share), Neighbors.none()
        if self._cells is None:
            block_rows = self._settings.block_rows
            return join_exactly(self.space, self._wanted, block_rows=block_rows, threads=threads, share=share)
        cells, probes = self._cells.cells, self._cells.probes
        return join_cells(self.space, self._wanted, cells, probes, threads=threads, share=share)

    def probe(self, rows: Rows, *, threads: int) -> Truth:
        """All that some rows of the left side are similar to, exactly."""
        block_rows = self._settings.block_rows
        return Truth(rows, *join_some(self.space, self._wanted, rows, block_rows=block_rows, threads=threads))

    def _may_use_cells(self) -> bool:
        settings = self._settings
        return settings.plan in ("auto", "cells") and settings.recall < 1 and settings.measure != "inner_product"

    def _may_use_signs(self) -> bool:
        settings, space = self._settings, self.space
        if settings.recall == 1 or not _can_use_signs(settings) or not len(space.query_NE) or not len(space.base_NE):
            return False
        return settings.plan == "signs" or (settings.plan == "auto" and len(space.base_NE) >= FEWEST_ROWS)

    def _make_keys(self, threads: int) -> HalfKeys | None:
        """The half-keys of all rows; None where too many would be needed, or where cells are expected to be faster."""
        settings = self._settings
        assert settings.threshold is not None
        plan = plan_signs(self.space, settings.threshold, settings.recall, seed=settings.seed)
        if plan is None or (settings.plan == "auto" and not self._are_faster_than_cells(plan)):
            return None
        return make_half_keys(self.space, plan, seed=settings.seed, threads=threads)

    def _are_faster_than_cells(self, signs: SignPlan) -> bool:
        """Whether signs join all rows before all have found their cells, and some rows their true partners."""
        rows, coordinates = self.space.base_NE.shape
        queries = 0 if self.space.is_self_join else len(self.space.query_NE)
        products = count_products(rows, queries) + rows * (self._settings.probes // 2)
        return signs.seconds < float(products * coordinates * PRODUCT_SECONDS)

    def _forecast(self, outlook: Outlook) -> list[Forecast]:
        """What each plan that may be taken is expected to find and to need, the chosen one first."""
        exact = outlook.forecast_exact()
        if self._keys is not None:
            return [outlook.forecast_signs(self._keys.plan.meetings, self._keys.plan.seconds, exact), exact]
        if self._cells is not None:
            return [outlook.forecast_cells(self._cells.visited), exact]
        return [exact, outlook.forecast_cells()] if self._may_use_cells() else [exact]

    def _plan_cells(self, outlook: Outlook) -> _CellPlan | None:
        """The plan by cells; None where no overlap of cells is known to suffice, or where it would cost too much."""
        settings, threads = self._settings, outlook.threads
        if outlook.sample is None:
            return None
        query_NE, base_NE = self.space.anchors()
        cells = make_cells(base_NE, cell_count(len(base_NE)), seed=settings.seed, threads=threads)
        home_N = cells.home_N
        if not self.space.is_self_join:
            home_N = find_homes(query_NE, cells.center_CE, threads=threads)
        overlap = self._overlap_for(outlook.sample.truth, cells, home_N)
        if overlap is None:
            return None
        rows = outlook.sample.truth.row_N
        visited = count_visited(query_NE[rows], home_N[rows], cells, overlap, threads=threads)
        if settings.plan == "auto" and not outlook.is_less_in_cells(visited):
            return None
        return _CellPlan(cells, find_probes(query_NE, home_N, cells, overlap, threads=threads), visited)

    def _overlap_for(self, truth: Truth, cells: Cells, home_N: NDArray[np.int32]) -> float | None:
        """How far cells have to overlap for the recall.

        None where no overlap is known to suffice, and where there are no true partners to learn it from.
        """
        row_P, place_P = np.nonzero(truth.neighbors.code_NK >= 0)
        if not len(row_P) and not len(truth.pairs):
            return None
        kinds = [
            (truth.pairs.left_P, truth.pairs.right_P, self.space.is_self_join),
            # A product that serves a row of another share cannot offer it a neighbour.
            (
                truth.neighbors.row_N[row_P],
                truth.neighbors.code_NK[row_P, place_P],
                self.space.is_self_join and not self._is_shared,
            ),
        ]
        overlaps = []
        query_NE, base_NE = self.space.anchors()
        for left_P, right_P, is_two_sided in kinds:
            if len(left_P):
                distance_P = measure_borders(query_NE, home_N, cells.center_CE, left_P, cells.home_N[right_P])
                if is_two_sided:
                    back_P = measure_borders(base_NE, cells.home_N, cells.center_CE, right_P, home_N[left_P])
                    distance_P = np.minimum(distance_P, back_P)
                overlaps.append(_overlap_for(distance_P, left_P, self._settings.recall))
        overlap = max(overlaps)
        return overlap if math.isfinite(overlap) else None


def check_sides(left: ItemVectors, right: ItemVectors | None, settings: JoinSettings) -> None:
    """Raise SettingsError where vectors cannot give what the settings ask for, DataError where the sides do not fit."""
    check_settings(settings)
    if right is not None and left.vectors_ND.shape[1] != right.vectors_ND.shape[1] and len(left) and len(right):
        raise DataError(
            f"the vectors of one side have {left.vectors_ND.shape[1]} coordinates, those of the other "
            f"{right.vectors_ND.shape[1]}; vectors that are compared have to come from one encoder"
        )


def check_settings(settings: JoinSettings) -> None:
    """Raise SettingsError where the settings ask for what vectors cannot give."""
    if settings.measure not in get_args(VectorMeasure):
        allowed = ", ".join(get_args(VectorMeasure))
        raise SettingsError(
            f"the measure is {settings.measure}; vectors are compared by {allowed}: choose one of these"
        )
    if settings.plan not in ("auto", *get_args(VectorPlan)):
        allowed = ", ".join(get_args(VectorPlan))
        raise SettingsError(f"the plan is {settings.plan}; vectors are joined by auto, {allowed}")
    if settings.plan == "signs" and not _can_use_signs(settings):
        raise SettingsError(
            "the plan is signs, which finds pairs above a cosine and no neighbours: set measure=cosine, a threshold "
            "and neighbors=0, or choose another plan"
        )
    least, measure = settings.threshold, settings.measure
    if least is not None and ((measure == "cosine" and not -1 < least <= 1) or (measure == "euclidean" and least < 0)):
        allowed = "above -1 and at most 1" if measure == "cosine" else "a distance, 0 or more"
        raise SettingsError(f"the threshold is {least}; under {measure} it has to be {allowed}")


def _can_use_signs(settings: JoinSettings) -> bool:
    """Whether the settings ask for nothing but pairs above a cosine."""
    return settings.measure == "cosine" and settings.threshold is not None and not settings.neighbors


def make_wanted(settings: JoinSettings) -> Wanted:
    """What the settings ask for, a threshold as the least similarity."""
    least = settings.threshold
    if least is not None and settings.measure == "euclidean":
        least = -least
    return Wanted(least, settings.neighbors, settings.max_pairs)


def _overlap_for(distance_P: NDArray[np.float64], row_P: Rows, recall: float) -> float:
    """The least overlap whose recall, by the lower end of its interval, is as wanted; inf where none is.

    A pair is found where cells overlap by its distance.
    """
    _, place_P, truths_N = np.unique(row_P, return_inverse=True, return_counts=True)
    # Rounded up, so that the product, which has fewer digits, finds these pairs too.
    overlaps = np.unique(np.nextafter(distance_P.astype(np.float32), np.float32(np.inf)))

    def least_recall(overlap: np.float32) -> float:
        hits_N = np.bincount(place_P[distance_P <= overlap], minlength=len(truths_N))
        return estimate_recall(hits_N, truths_N).low

    place = bisect_left(overlaps, recall, key=least_recall)
    return float(overlaps[place]) if place < len(overlaps) else math.inf
