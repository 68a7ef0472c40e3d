"""Purchases with planted rules: how many baskets hold each side of a rule is decided first, and then written down."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

COLUMNS = ("basket", "customer", "item", "name", "time", "quantity", "price")
NOISE_ITEMS = 60
"""Items that are bought at random; each is in about one basket of thirty."""

_START = datetime(2026, 1, 5, 9, 0)


@dataclass(frozen=True)
class PlantedRule:
    """A rule that holds exactly: of all baskets, how many hold the antecedent, and how many both sides."""

    antecedent: tuple[str, ...]
    consequent: tuple[str, ...]
    antecedent_count: int
    basket_count: int
    baskets: int

    @property
    def support(self) -> float:
        """Share of all baskets that hold both sides."""
        return self.basket_count / self.baskets

    @property
    def confidence(self) -> float:
        """Share of the baskets with the antecedent that hold the consequent."""
        return self.basket_count / self.antecedent_count


@dataclass(frozen=True)
class PlantedBaskets:
    """A table of purchases and what is true of it once faulty rows are gone.

    `contents` holds each good basket's items; `faults` counts the rows that cleaning has to reject, by reason.
    """

    table: Path
    contents: dict[str, frozenset[str]]
    rules: tuple[PlantedRule, ...]
    faults: dict[str, int]

    @property
    def good_rows(self) -> int:
        """Rows that are not faulty."""
        return sum(len(items) for items in self.contents.values())


# Antecedent, consequent, share of baskets with the antecedent, share of those with the consequent too.
_RULES: tuple[tuple[tuple[str, ...], tuple[str, ...], float, float], ...] = (
    (("cup",), ("saucer",), 0.20, 0.90),
    (("needle",), ("thread",), 0.12, 0.75),
    (("bread", "butter"), ("jam",), 0.10, 0.80),
)


def write_purchases(path: Path, *, baskets: int, random: np.random.Generator) -> PlantedBaskets:
    """Write a CSV of purchases, a line an item, with faulty lines between the good ones.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     planted = write_purchases(Path(folder) / "bought.csv", baskets=100, random=np.random.default_rng(0))
    >>> [(rule.antecedent, rule.consequent, rule.support, rule.confidence) for rule in planted.rules][0]
    (('cup',), ('saucer',), 0.18, 0.9)
    """
    contents: list[set[str]] = [set() for _ in range(baskets)]
    rules = tuple(_plant_rule(contents, rule, random) for rule in _RULES)
    _add_noise(contents, random)
    named = {f"B{number:05d}": frozenset(items) for number, items in enumerate(contents)}
    rows = _rows(named, random)
    faults = _plant_faults(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return PlantedBaskets(path, named, rules, faults)


def _plant_rule(
    contents: list[set[str]],
    rule: tuple[tuple[str, ...], tuple[str, ...], float, float],
    random: np.random.Generator,
) -> PlantedRule:
    antecedent, consequent, share, confidence = rule
    with_antecedent = round(share * len(contents))
    with_both = round(confidence * with_antecedent)
    chosen = random.permutation(len(contents))
    for place in chosen[:with_antecedent]:
        contents[place].update(antecedent)
    # Some baskets hold the consequent alone, so that the rule does not hold both ways.
    for place in [
        *chosen[:with_both],
        *chosen[with_antecedent : with_antecedent + with_both],
    ]:
        contents[place].update(consequent)
    return PlantedRule(antecedent, consequent, with_antecedent, with_both, len(contents))


def _add_noise(contents: list[set[str]], random: np.random.Generator) -> None:
    for items in contents:
        picked = random.integers(0, NOISE_ITEMS, size=2)
        items.update(f"thing-{number:02d}" for number in picked)


def _rows(contents: dict[str, frozenset[str]], random: np.random.Generator) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for number, (basket, items) in enumerate(contents.items()):
        time = (_START + timedelta(minutes=7 * number)).isoformat(sep=" ")
        customer = str(1000 + int(random.integers(0, 40)))
        for item in sorted(items):
            quantity, cents = (
                int(random.integers(1, 10)),
                int(random.integers(50, 2000)),
            )
            rows.append(
                (
                    basket,
                    customer,
                    item,
                    item.upper(),
                    time,
                    str(quantity),
                    f"{cents / 100:.2f}",
                )
            )
    return rows


def _plant_faults(rows: list[tuple[str, ...]]) -> dict[str, int]:
    """Put repeated lines, a cancelled basket, and baskets with a wrong quantity, price or time between the rows."""
    basket, customer, item, name, time, quantity, price = rows[0]
    repeated = rows[2:12:3]
    faulty: dict[str, list[tuple[str, ...]]] = {
        "duplicate": repeated,
        "cancelled": [(f"C{basket}", customer, item, name, time, quantity, price)] * 2,
        "quantity_not_positive": [("X1", customer, item, name, time, "-3", price)],
        "quantity_invalid": [("X2", customer, item, name, time, "three", price)],
        "price_not_positive": [("X3", customer, item, name, time, quantity, "0.00")],
        "time_invalid": [("X4", customer, item, name, "yesterday", quantity, price)],
    }
    middle = len(rows) // 2
    rows[middle:middle] = [row for rows_of_reason in faulty.values() for row in rows_of_reason]
    return {reason: len(rows_of_reason) for reason, rows_of_reason in faulty.items()}
