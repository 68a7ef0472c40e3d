"""Measures of rules by what they tell."""

from __future__ import annotations

from kinfolk.association.measures import MEASURES, Measure

_FIRST = {
    "support": "How often both sides are bought",
    "confidence": "How often the consequent follows",
    "lift": "How much more often than without the antecedent, or by chance",
    "jaccard": "How much both sides are the same baskets, in either direction",
    "odds_ratio": "How far the four counts are from those of independence",
    "lerman": "How sure it is that this is no chance",
}
"""What a group tells, by its first measure; groups follow one another as measures do."""


def group_measures() -> dict[str, list[Measure]]:
    """All measures in their order, by what their group tells.

    >>> list(group_measures())[-1], [measure.name for measure in list(group_measures().values())[-1]]
    ('How sure it is that this is no chance', ['lerman', 'implication_index', 'hyper_lift', 'hyper_confidence'])
    """
    groups: dict[str, list[Measure]] = {}
    for name, measure in MEASURES.items():
        if name in _FIRST:
            groups[_FIRST[name]] = []
        groups[next(reversed(groups))].append(measure)
    return groups
