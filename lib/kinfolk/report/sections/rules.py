"""The strongest rules, as drawings and as a table."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from kinfolk.report.charts import ScatterChart, draw_scatter
from kinfolk.report.formatting import format_figure, format_share
from kinfolk.report.graph import Cluster, Link, draw_clusters
from kinfolk.report.pinned import PinnedTables, Row
from kinfolk.settings import Settings
from kinfolk.tables.catalog import ASSOCIATION_RULES

_MOST_POINTS = 1_000


@dataclass(frozen=True)
class Rule:
    """Baskets with the antecedent hold the consequent; `conviction` is null where the rule has no exception."""

    antecedent: tuple[str, ...]
    consequent: tuple[str, ...]
    antecedent_names: tuple[str, ...]
    consequent_names: tuple[str, ...]
    basket_count: int
    support: float
    confidence: float
    lift: float
    leverage: float
    conviction: float | None


@dataclass(frozen=True)
class Rules:
    """The strongest rules by lift, how many there are in all, and clusters of the products connected by twice as many.

    A drawing shows at a glance what the table needs several rows for, so it takes in more rules; and a point for each
    rule shows even more of them.
    """

    rules: tuple[Rule, ...]
    total: int
    clusters: tuple[Cluster, ...]
    scatter: ScatterChart


def read_rules(tables: PinnedTables, settings: Settings) -> Rules | None:
    """The strongest rules; None where there are none."""
    if not tables.has(ASSOCIATION_RULES) or settings.report.rules == 0:
        return None
    names = tuple(Rule.__dataclass_fields__)
    sql = f"""
        SELECT {", ".join(names)} FROM association_rules
        ORDER BY lift DESC, basket_count DESC, antecedent_id, consequent_id LIMIT {2 * settings.report.rules:d}"""
    rows = tables.query(sql, ASSOCIATION_RULES)
    rules = tuple(_rule(row) for row in rows)
    if not rules:
        return None
    return Rules(rules[: settings.report.rules], tables.rows(ASSOCIATION_RULES), _draw(rules), _scatter(tables, names))


def _rule(row: Row) -> Rule:
    values: Row = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Rule(**values)


def _scatter(tables: PinnedTables, names: Sequence[str]) -> ScatterChart:
    """A point for each rule; of very many those that a hash draws, always the same ones."""
    sql = f"""
        SELECT {", ".join(names)} FROM association_rules
        ORDER BY md5(antecedent_id || consequent_id) LIMIT {_MOST_POINTS:d}"""
    rules = [_rule(row) for row in tables.query(sql, ASSOCIATION_RULES)]
    return draw_scatter("Rules", [(rule.support, rule.confidence, rule.lift, _name(rule)) for rule in rules])


def _name(rule: Rule) -> str:
    sides = (" + ".join(side) for side in (rule.antecedent_names, rule.consequent_names))
    return (
        f"{' → '.join(sides)}: support {format_share(rule.support)}, confidence {format_share(rule.confidence)}, "
        f"lift {format_figure(rule.lift)}"
    )


def _draw(rules: Sequence[Rule]) -> tuple[Cluster, ...]:
    links = [
        Link(source, target, rule.confidence, rule.lift)
        for rule in rules
        for source, target in itertools.product(rule.antecedent, rule.consequent)
    ]
    names: dict[str, str] = {}
    for rule in rules:
        names |= zip(rule.antecedent, rule.antecedent_names, strict=True)
        names |= zip(rule.consequent, rule.consequent_names, strict=True)
    return draw_clusters(links, names)
