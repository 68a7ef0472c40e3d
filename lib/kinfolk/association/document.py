"""The page docs/measures.md, made from the measures."""

from __future__ import annotations

from kinfolk.association.measure_groups import group_measures
from kinfolk.association.measures import Measure

_HEAD = """# Measures of rules

Generated from `kinfolk.association.measures` by `make docs`; do not edit.

Of n baskets, n(A) hold the antecedent of a rule A → C, n(C) its consequent and n(AC) both. P(·) is a share of the
baskets, P(C|A) = n(AC) / n(A), and ¬ is what a basket does not hold. All measures are functions of these four counts,
so that any of them can be computed from a table of rules: `kinfolk.association.measures.measure("zhang", counts)`. A
measure has no value (null) where its formula divides by 0. Logarithms are natural where no base is given. How sure a
rule is, its intervals and Fisher's exact test, is in `kinfolk.association.significance`.
"""

_COLUMNS = """| measure | formula | range | what it says | source |
| --- | --- | --- | --- | --- |
"""


def document_measures() -> str:
    """The whole page."""
    return _HEAD + "".join(
        f"\n## {meaning}\n\n{_COLUMNS}" + "".join(f"{_describe(measure)}\n" for measure in measures)
        for meaning, measures in group_measures().items()
    )


def _describe(measure: Measure) -> str:
    formula = measure.formula.replace("|", "\\|")
    limits = f"{_limit(measure.low)} to {_limit(measure.high)}"
    return f"| `{measure.name}` | {formula} | {limits} | {measure.meaning} | {measure.source} |"


def _limit(value: float) -> str:
    """A limit of a range.

    >>> _limit(float("-inf")), _limit(0.25), _limit(1)
    ('-∞', '0.25', '1')
    """
    return f"{value:g}".replace("inf", "∞")
