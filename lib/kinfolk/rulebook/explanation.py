"""One rule in full: its words, its table of baskets, every measure, how sure it is, and baskets that show it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isnan
from typing import Any

from kinfolk.association.measure_groups import group_measures
from kinfolk.association.measures import Counts, Measure, Values, count
from kinfolk.association.significance import LEVEL, confidence_interval, fisher_p_values, lift_interval
from kinfolk.association.taxonomy import PREFIX, build_taxonomy, list_members
from kinfolk.errors import NotFoundError, SettingsError
from kinfolk.rulebook.numbers import COUNTS
from kinfolk.rulebook.search import KEY, RuleSearch, search_rules
from kinfolk.tables.catalog import CLEAN_EVENTS
from kinfolk.tables.lake import Lake
from kinfolk.tables.rule_lookups import SampleBaskets, read_categories, read_rule, sample_baskets

_MINED = (
    "improvement",
    "false_discovery_rate",
    "holdout_baskets",
    "holdout_confidence",
    "holdout_lift",
    "adjusted_odds_ratio",
    "reversed_in",
)


@dataclass(frozen=True)
class ExplainedMeasure:
    """A measure of a rule: null where it has no value."""

    name: str
    value: float | None
    meaning: str


@dataclass(frozen=True)
class Interval:
    """Where the true value lies, with a certainty of `level`."""

    low: float
    high: float
    level: float = LEVEL


@dataclass(frozen=True)
class ExplainedRule:
    """A rule; sides are id → name.

    `measures` are all there are, by what they tell. `p_value` is that of Fisher's exact test for this one rule, not
    corrected for others. `mined` are the columns of association_rules that mining fills where settings ask for it, null
    otherwise. `samples` are null where the lake has no clean_events.
    """

    place: int
    antecedent: dict[str, str]
    consequent: dict[str, str]
    basket_count: int
    antecedent_count: int
    consequent_count: int
    baskets: int
    measures: dict[str, list[ExplainedMeasure]]
    confidence_interval: Interval
    lift_interval: Interval
    p_value: float
    mined: dict[str, Any]
    samples: SampleBaskets | None


def explain_rule(lake: Lake, search: RuleSearch, place: int, *, samples: int = 3) -> ExplainedRule:
    """Explain the rule in a place of what a search finds, from 1, with at most so many baskets of either kind.

    The limit of the search does not count. Raises as `search_rules` does, and NotFoundError where the list ends before.
    """
    if place < 1 or samples < 1:
        raise SettingsError(f"rules and sample baskets are counted from 1; {min(place, samples)} came")
    found = search_rules(lake, replace(search, limit=place)).rules
    if found.num_rows < place:
        raise NotFoundError(f"there is no rule {place}: {found.num_rows} fit what was asked for")
    row = read_rule(lake, *(found[name][place - 1].as_py() for name in KEY))
    before, behind = (dict(zip(row[side], row[f"{side}_names"], strict=True)) for side in ("antecedent", "consequent"))
    counts = count(*(row[name] for name in COUNTS))
    return ExplainedRule(
        place=place,
        antecedent=before,
        consequent=behind,
        **{name: row[name] for name in COUNTS},
        measures=_measure(counts),
        confidence_interval=_read(confidence_interval(counts)),
        lift_interval=_read(lift_interval(counts)),
        p_value=float(fisher_p_values(counts)),
        mined={name: row[name] for name in _MINED},
        samples=_sample(lake, before, behind, samples) if lake.exists(CLEAN_EVENTS) else None,
    )


def _sample(lake: Lake, before: dict[str, str], behind: dict[str, str], limit: int) -> SampleBaskets:
    """Baskets that follow a rule and exceptions; a category is held where one of its items is."""
    categories = [item for item in before | behind if item.startswith(PREFIX)]
    members = list_members(build_taxonomy(read_categories(lake)), categories) if categories else None
    return sample_baskets(lake, before, behind, limit=limit, members=members)


def _measure(counts: Counts) -> dict[str, list[ExplainedMeasure]]:
    def explain(measure: Measure) -> ExplainedMeasure:
        value = float(measure.compute(counts))
        return ExplainedMeasure(measure.name, None if isnan(value) else value, measure.meaning)

    return {meaning: [explain(measure) for measure in measures] for meaning, measures in group_measures().items()}


def _read(limits: tuple[Values, Values]) -> Interval:
    return Interval(*map(float, limits))
