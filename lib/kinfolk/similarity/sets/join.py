"""Joining sets: the plan that reaches the recall wanted, and the truth to measure it by.

Shape suffixes: N items, P pairs, K neighbours.
"""

from __future__ import annotations

from typing import Literal, cast, get_args

import numpy as np

from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import JoinSettings, SetMeasure
from kinfolk.similarity.effort import WHOLE, Effort, Share
from kinfolk.similarity.forecast import Forecast, check_budgets
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.recall import Truth
from kinfolk.similarity.sets.forecast import Outlook
from kinfolk.similarity.sets.items import Codes, ItemSets
from kinfolk.similarity.sets.minhash import Bands, choose_bands, join_bands
from kinfolk.similarity.sets.nearest import find_neighbors
from kinfolk.similarity.sets.partners import find_partners
from kinfolk.similarity.sets.prefix import join_prefixes
from kinfolk.similarity.sets.shingles import LISTS
from kinfolk.similarity.sets.sketches import Rule, make_rule

SetPlan = Literal["prefix", "minhash"]


def join_sets(
    left: ItemSets,
    right: ItemSets | None,
    settings: JoinSettings,
    *,
    threads: int,
    share: Share = WHOLE,
) -> tuple[Pairs, Neighbors]:
    """Join items as sets, with themselves where `right` is None; similarities are exact.

    A share is the t-th of T parts: each pair is in one of them, and so is each row with all its neighbours. Where more
    than `settings.max_pairs` pairs are found in a share, one more than that comes back, and the rest is not looked for.
    Neighbours are always exact. Raises SettingsError where the settings ask for what sets cannot give, and DataError
    where the two sides are not sets of the same kind.
    """
    return SetJoin(left, right, settings, threads=threads).find(share, threads=threads)


class SetJoin:
    """A join of sets under its plan.

    `forecasts` are those of the plans that may be taken, the chosen one first; whether sets are measured for them is
    left to the size of the join where `is_forecast_needed` is None and the plan does not depend on it. Raises DataError
    where a forecast says that the join would certainly go beyond its budgets.
    """

    def __init__(
        self,
        left: ItemSets,
        right: ItemSets | None,
        settings: JoinSettings,
        *,
        threads: int = 1,
        is_forecast_needed: bool | None = None,
    ) -> None:
        _check(left, right, settings)
        self._left, self._right, self._settings = left, right, settings
        self._bands = self._choose_bands()
        outlook = Outlook(left, right, _measure(settings), _rule(settings), settings, threads)
        is_open = settings.plan == "auto" and self._bands is not None
        if is_open or (outlook.is_worth_learning if is_forecast_needed is None else is_forecast_needed):
            outlook = outlook.learn()
        self.forecasts = self._forecast(outlook)
        check_budgets(self.forecasts[0], settings)

    @property
    def plan(self) -> SetPlan:
        """How the join is computed."""
        return cast(SetPlan, self.forecasts[0].plan)

    @property
    def is_exact(self) -> bool:
        """Whether nothing can be missed."""
        return self.plan == "prefix" or self._settings.threshold is None

    def find(self, share: Share = WHOLE, *, threads: int) -> tuple[Pairs, Neighbors]:
        """The pairs and neighbours of a share of the rows."""
        left, right, settings = self._left, self._right, self._settings
        effort = Effort(threads, share, settings.max_pairs)
        pairs = self._find_pairs(effort)
        neighbors = Neighbors.none()
        if settings.neighbors:
            neighbors = find_neighbors(left, right, _measure(settings), settings.neighbors, effort)
        return pairs, neighbors

    def probe(self, rows: Codes, *, threads: int) -> Truth:
        """All that some rows of the left side are similar to, exactly."""
        return Truth(rows, *probe_sets(self._left, self._right, rows, self._settings, threads=threads))

    def _choose_bands(self) -> Bands | None:
        """The bands of the plan minhash, where it may be taken."""
        left, right, settings = self._left, self._right, self._settings
        is_empty = not len(left) or (right is not None and not len(right))
        is_open = settings.plan in ("auto", "minhash") and _may_miss(settings)
        if is_empty or not is_open or settings.threshold is None:
            return None
        return choose_bands(left, right, settings.threshold, settings.recall, seed=settings.seed)

    def _forecast(self, outlook: Outlook) -> list[Forecast]:
        """What each plan that may be taken is expected to find and to need, the chosen one first."""
        if self._bands is None:
            return [outlook.forecast_prefix()]
        in_bands = outlook.forecast_minhash(self._bands)
        if self._settings.plan == "minhash":
            return [in_bands]
        both = [outlook.forecast_prefix(), in_bands]
        return both if outlook.costs_less_by_prefixes(self._bands) else both[::-1]

    def _find_pairs(self, effort: Effort) -> Pairs:
        left, right, settings = self._left, self._right, self._settings
        rule = _rule(settings)
        if rule is None or not len(left) or (right is not None and not len(right)):
            return Pairs.none()
        if self.plan == "prefix":
            pairs = join_prefixes(left, right, rule, effort)
        else:
            assert self._bands is not None
            pairs = join_bands(left, right, rule, self._bands, effort, seed=settings.seed)
        kept = slice(settings.max_pairs + 1)
        return Pairs(pairs.left_P[kept], pairs.right_P[kept], pairs.similarity_P[kept])


def probe_sets(
    left: ItemSets, right: ItemSets | None, rows: Codes, settings: JoinSettings, *, threads: int
) -> tuple[Pairs, Neighbors]:
    """All pairs and neighbours of some rows of the left side, exactly; an item is not its own.

    The pairs have the rows as their left side, whichever id comes first.
    """
    _check(left, right, settings)
    some, base, effort = left.take(rows), left if right is None else right, Effort(threads)
    measure, count = _measure(settings), settings.neighbors
    pairs, neighbors = Pairs.none(), Neighbors.none()
    if settings.threshold is not None and len(some) and len(base):
        found = find_partners(some, base, make_rule(measure, settings.threshold), threads)
        left_P = rows[found.left_P]
        is_other = left_P != found.right_P if right is None else np.ones(len(found), bool)
        pairs = Pairs(left_P[is_other], found.right_P[is_other], found.similarity_P[is_other])
    if count:
        # The item itself may be among them, and takes a place of its own.
        nearest = find_neighbors(some, base, measure, count + (right is None), effort)
        neighbors = Neighbors(rows, nearest.code_NK, nearest.similarity_NK)
        neighbors = _without_own(neighbors) if right is None else neighbors
    return pairs, neighbors


def _check(left: ItemSets, right: ItemSets | None, settings: JoinSettings) -> None:
    measure, least = _measure(settings), settings.threshold
    if least is not None and not (least >= 1 if measure == "overlap" else 0 < least <= 1):
        allowed = "at least 1, a number of tokens" if measure == "overlap" else "above 0 and at most 1"
        raise SettingsError(
            f"the threshold is {least}; under {measure} it has to be {allowed}: choose another threshold"
        )
    if settings.plan not in ("auto", "exact", "prefix", "minhash"):
        raise SettingsError(f"the plan is {settings.plan}; sets are joined by auto, exact, prefix or minhash")
    if settings.plan == "minhash" and not _may_miss(settings):
        raise SettingsError(
            f"the plan minhash joins by jaccard with a recall below 1; the measure is {measure} and the recall "
            f"{settings.recall}: take the plan auto or prefix, which find all"
        )
    if right is None:
        return
    if left.source.kind != right.source.kind or (left.source.kind != LISTS and left.tokens != right.tokens):
        raise DataError(
            "one side has other tokens than the other, so that nothing would be common; "
            "read both as texts with the same token settings, or both as lists"
        )


def _measure(settings: JoinSettings) -> SetMeasure:
    if settings.measure not in get_args(SetMeasure):
        allowed = ", ".join(get_args(SetMeasure))
        raise SettingsError(f"the measure is {settings.measure}; sets are compared by {allowed}: choose one of these")
    return cast(SetMeasure, settings.measure)


def _may_miss(settings: JoinSettings) -> bool:
    return settings.recall < 1 and settings.measure == "jaccard"


def _rule(settings: JoinSettings) -> Rule | None:
    return None if settings.threshold is None else make_rule(_measure(settings), settings.threshold)


def _without_own(neighbors: Neighbors) -> Neighbors:
    """The neighbours but for the rows themselves, or else but for the last one."""
    is_own_NK = neighbors.code_NK == neighbors.row_N[:, None]
    is_own_NK[:, -1] |= ~is_own_NK.any(axis=1)
    shape = len(neighbors.row_N), neighbors.code_NK.shape[1] - 1
    codes, similarities = neighbors.code_NK[~is_own_NK], neighbors.similarity_NK[~is_own_NK]
    return Neighbors(neighbors.row_N, codes.reshape(shape), similarities.reshape(shape))
