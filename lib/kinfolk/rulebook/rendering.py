"""An explained rule, laid out for a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from kinfolk.console import render_table
from kinfolk.rulebook.explanation import ExplainedMeasure, ExplainedRule
from kinfolk.tables.rule_lookups import Basket

_BASKET_LINES = 8
_LEAST_P_VALUE = 1e-300


def render_rule(rule: ExplainedRule) -> str:
    """Lay an explanation out: words, the table of baskets, how sure it is, measures, sample baskets."""
    parts = [
        f"rule {rule.place}: {' + '.join(rule.antecedent.values())} → {' + '.join(rule.consequent.values())}",
        _fold([_tell_counts(rule)]),
        _render_counts(rule),
        _fold(_tell_certainty(rule)),
        *_render_measures(rule.measures),
        *_render_samples(rule),
    ]
    return "\n\n".join(parts)


def _fold(sentences: Iterable[str]) -> str:
    width = shutil.get_terminal_size().columns
    return "\n".join(line for sentence in sentences for line in textwrap.wrap(sentence, width))


def _tell_counts(rule: ExplainedRule) -> str:
    before, behind = (_join(side.values()) for side in (rule.antecedent, rule.consequent))
    confidence, prevalence = rule.basket_count / rule.antecedent_count, rule.consequent_count / rule.baskets
    return (
        f"Of {_count(rule.antecedent_count)} with {before}, {rule.basket_count:,} ({_percent(confidence)}) also hold "
        f"{behind}; among all {_count(rule.baskets)} it is {_percent(prevalence)}, so {confidence / prevalence:.3g} "
        "times as often."
    )


def _render_counts(rule: ExplainedRule) -> str:
    """The 2×2 table of baskets with its sums."""
    both, rest = rule.basket_count, rule.baskets - rule.antecedent_count
    other = rule.consequent_count - both
    rows = [
        ["with the antecedent", both, rule.antecedent_count - both, rule.antecedent_count],
        ["without it", other, rest - other, rest],
        ["all", rule.consequent_count, rule.baskets - rule.consequent_count, rule.baskets],
    ]
    return render_table(rows, ["baskets", "with the consequent", "without it", "all"])


def _tell_certainty(rule: ExplainedRule) -> Iterator[str]:
    confidence, lift, mined = rule.confidence_interval, rule.lift_interval, rule.mined
    yield (
        f"With {_percent(confidence.level, digits=0)} certainty the confidence is between {_percent(confidence.low)} "
        f"and {_percent(confidence.high)}, and the lift between {lift.low:.4g} and {lift.high:.4g}."
    )
    chance = f"{rule.p_value:.3g}" if rule.p_value > _LEAST_P_VALUE else f"below {_LEAST_P_VALUE:g}"
    yield f"By chance alone so many baskets would hold both sides with probability {chance} (Fisher's exact test)."
    if mined["false_discovery_rate"] is not None:
        yield f"Reported down to this one, a share of {mined['false_discovery_rate']:.3g} of the rules may be false."
    if mined["improvement"] is not None:
        yield f"Its confidence less the highest of a simpler rule to the same item is {mined['improvement']:.4g}."
    if mined["holdout_baskets"] is not None:
        told = {name: mined[f"holdout_{name}"] for name in ("confidence", "lift")}
        values = "".join(f", {name} {value:.4g}" for name, value in told.items() if value is not None)
        yield f"In baskets that were held out: {mined['holdout_baskets']:,} with both sides{values}."
    if mined["reversed_in"] is not None:
        odds = mined["adjusted_odds_ratio"]
        pooled = "" if odds is None else f"; the odds ratio within its values is {odds:.4g}"
        yield f"Reversed within {_join(mined['reversed_in']) or 'no value'} of the confounder{pooled}."


def _render_measures(groups: dict[str, list[ExplainedMeasure]]) -> Iterator[str]:
    for meaning, measures in groups.items():
        rows = [[told.name, told.value, told.meaning] for told in measures]
        yield f"{meaning}:\n{render_table(rows, ['measure', 'value', 'what it says'])}"


def _render_samples(rule: ExplainedRule) -> Iterator[str]:
    if rule.samples is None:
        yield "The lake has no clean_events to show baskets of."
        return
    for meaning, baskets in (
        ("Baskets with both sides", rule.samples.both),
        ("Exceptions, which lack something of the consequent", rule.samples.exceptions),
    ):
        yield f"{meaning}:\n{_render_baskets(baskets)}" if baskets else f"{meaning}: none"


def _render_baskets(baskets: Sequence[Basket]) -> str:
    """Baskets with their items; a * marks those of the rule."""
    rows = [
        [b.basket_id, b.time, b.customer_id, [f"*{item.name}" if item.is_in_rule else item.name for item in b.items]]
        for b in baskets
    ]
    return render_table(rows, ["basket", "time", "customer", "items (* in the rule)"], most_lines=_BASKET_LINES)


def _count(baskets: int) -> str:
    return f"{baskets:,} basket{'' if baskets == 1 else 's'}"


def _join(names: Iterable[str]) -> str:
    """Names as a sentence has them.

    >>> _join(["bread", "butter", "jam"]), _join(["tea"]), _join([])
    ('bread, butter and jam', 'tea', '')
    """
    *others, last = list(names) or [""]
    return f"{', '.join(others)} and {last}" if others else last


def _percent(share: float, *, digits: int = 1) -> str:
    """A share in percent; a small one keeps its digits.

    >>> _percent(0.5), _percent(0.95, digits=0), _percent(0.00012)
    ('50.0%', '95%', '0.012%')
    """
    return f"{share:.{digits}%}" if share >= 0.001 or share == 0 else f"{100 * share:.2g}%"
