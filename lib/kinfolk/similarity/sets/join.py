"""Joining sets: the plan that reaches the recall wanted, what it is expected to cost, and the truth to measure it by.

Shape suffixes: N items, P pairs, K neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np

from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import JoinSettings, SetMeasure
from kinfolk.similarity.effort import WHOLE, Effort, Share
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.recall import Truth, draw_rows
from kinfolk.similarity.sets.items import Codes, ItemSets
from kinfolk.similarity.sets.minhash import CANDIDATE_SECONDS, choose_bands, join_bands
from kinfolk.similarity.sets.nearest import find_neighbors
from kinfolk.similarity.sets.prefix import PREFIX_TOKEN_SECONDS, count_meetings, join_prefixes
from kinfolk.similarity.sets.shingles import LISTS
from kinfolk.similarity.sets.sketches import make_rule

SetPlan = Literal["prefix", "minhash"]

_SAMPLE_ITEMS = 2000

_MINHASH_TOKEN_SECONDS = 3e-8
"""Of reading a token twice."""
_PREFIX_TOKEN_BYTES = 8
_KEY_BYTES = 8
_PAIR_BYTES = 24


@dataclass(frozen=True)
class SetForecast:
    """What a plan is expected to cost on one thread; `candidates` are the pairs whose sketches are compared.

    `pairs` are those above the threshold, counted among a sample: few of them tell little of how many there are.
    """

    plan: SetPlan
    candidates: float
    pairs: float
    seconds: float
    memory_bytes: float


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
    return SetJoin(left, right, settings).find(share, threads=threads)


class SetJoin:
    """A join of sets under its plan."""

    def __init__(self, left: ItemSets, right: ItemSets | None, settings: JoinSettings) -> None:
        _check(left, right, settings)
        self._left, self._right, self._settings = left, right, settings
        self.plan = plan_join(left, right, settings)

    @property
    def is_exact(self) -> bool:
        """Whether nothing can be missed."""
        return self.plan == "prefix" or self._settings.threshold is None

    def find(self, share: Share = WHOLE, *, threads: int) -> tuple[Pairs, Neighbors]:
        """The pairs and neighbours of a share of the rows."""
        left, right, settings = self._left, self._right, self._settings
        effort = Effort(threads, share, settings.max_pairs)
        pairs, neighbors = Pairs.none(), Neighbors.none()
        if len(left) and (right is None or len(right)) and settings.threshold is not None:
            pairs = _find_pairs(left, right, settings, self.plan, effort)
        if settings.neighbors:
            neighbors = find_neighbors(left, right, _measure(settings), settings.neighbors, effort)
        return pairs, neighbors

    def probe(self, rows: Codes, *, threads: int) -> Truth:
        """All that some rows of the left side are similar to, exactly."""
        return Truth(rows, *probe_sets(self._left, self._right, rows, self._settings, threads=threads))


def plan_join(left: ItemSets, right: ItemSets | None, settings: JoinSettings) -> SetPlan:
    """The plan that the settings name, or the fastest that reaches their recall."""
    if settings.plan == "minhash":
        return "minhash"
    if settings.plan != "auto" or not _may_miss(settings):
        return "prefix"
    return min(forecast_sets(left, right, settings), key=lambda forecast: forecast.seconds).plan


def forecast_sets(left: ItemSets, right: ItemSets | None, settings: JoinSettings) -> list[SetForecast]:
    """What each plan that may find the pairs is expected to cost, learned from a sample of both sides."""
    _check(left, right, settings)
    if settings.threshold is None or not len(left) or (right is not None and not len(right)):
        return [SetForecast("prefix", 0.0, 0.0, 0.0, 0.0)]
    rule = make_rule(_measure(settings), settings.threshold)
    some = _draw(left, settings.seed)
    others = None if right is None else _draw(right, settings.seed + 1)
    scale = _pair_count(left, right) / max(_pair_count(some, others), 1.0)
    candidates = scale * count_meetings(some, others, rule)
    pairs = scale * len(join_prefixes(some, others, rule, Effort(1)))
    sides = [left] if right is None else [left, right]
    tokens = sum(side.mean_tokens * len(side) for side in sides)
    texts = float(sum(side.source.text_X.nbytes + side.source.hash_T.nbytes for side in sides))
    known = texts + pairs * _PAIR_BYTES
    seconds = tokens * PREFIX_TOKEN_SECONDS + candidates * CANDIDATE_SECONDS
    forecasts = [SetForecast("prefix", candidates, pairs, seconds, known + tokens * _PREFIX_TOKEN_BYTES)]
    if _may_miss(settings):
        bands = choose_bands(left, right, rule.least, settings.recall, seed=settings.seed)
        seconds = tokens * _MINHASH_TOKEN_SECONDS + bands.seconds
        keys = 2 * bands.bands * _KEY_BYTES * sum(len(side) for side in sides)
        forecasts.append(SetForecast("minhash", bands.candidates, pairs, seconds, known + keys))
    return forecasts


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
        found = join_prefixes(some, base, make_rule(measure, settings.threshold), effort)
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


def _find_pairs(left: ItemSets, right: ItemSets | None, settings: JoinSettings, plan: SetPlan, effort: Effort) -> Pairs:
    assert settings.threshold is not None
    rule = make_rule(_measure(settings), settings.threshold)
    if plan == "prefix":
        pairs = join_prefixes(left, right, rule, effort)
    else:
        bands = choose_bands(left, right, rule.least, settings.recall, seed=settings.seed)
        pairs = join_bands(left, right, rule, bands, effort, seed=settings.seed)
    kept = slice(settings.max_pairs + 1)
    return Pairs(pairs.left_P[kept], pairs.right_P[kept], pairs.similarity_P[kept])


def _draw(sets: ItemSets, seed: int) -> ItemSets:
    """Some of the items, drawn at random."""
    return sets.take(draw_rows(len(sets), _SAMPLE_ITEMS, seed=seed))


def _pair_count(left: ItemSets, right: ItemSets | None) -> float:
    return len(left) * (len(left) - 1) / 2 if right is None else float(len(left) * len(right))


def _without_own(neighbors: Neighbors) -> Neighbors:
    """The neighbours but for the rows themselves, or else but for the last one."""
    is_own_NK = neighbors.code_NK == neighbors.row_N[:, None]
    is_own_NK[:, -1] |= ~is_own_NK.any(axis=1)
    shape = len(neighbors.row_N), neighbors.code_NK.shape[1] - 1
    codes, similarities = neighbors.code_NK[~is_own_NK], neighbors.similarity_NK[~is_own_NK]
    return Neighbors(neighbors.row_N, codes.reshape(shape), similarities.reshape(shape))
