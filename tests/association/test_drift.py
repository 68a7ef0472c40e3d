"""What became of rules since they were mined before."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import fisher_exact

from kinfolk.association.drift import CHANGES, Mined, compare_rules, tell_change

RATE = 0.05


def mined(counts: dict[str, int], rules: list[tuple[str, str]], baskets: int) -> Mined:
    """Sets by their items, one letter each, and rules among them."""

    def name(items: str) -> str:
        return json.dumps(sorted(items), separators=(",", ":"))

    rows = [
        {
            "antecedent_id": name(before),
            "consequent_id": name(after),
            "basket_count": counts["".join(sorted(before + after))],
            "antecedent_count": counts[before],
            "baskets": baskets,
            "antecedent_names": list(before.upper()),
            "consequent_names": list(after.upper()),
        }
        for before, after in rules
    ]
    kinds = {"antecedent_id": pa.string(), "consequent_id": pa.string(), "basket_count": pa.int64()}
    kinds |= {"antecedent_count": pa.int64(), "baskets": pa.int64()}
    kinds |= dict.fromkeys(("antecedent_names", "consequent_names"), pa.list_(pa.string()))
    sets = pa.table({"itemset_id": [name(items) for items in counts], "basket_count": list(counts.values())})
    return Mined(pa.Table.from_pylist(rows, schema=pa.schema(kinds)), sets, baskets)


def changes(before: Mined, after: Mined) -> dict[tuple[str, str], dict[str, Any]]:
    table = compare_rules(before, after, max_rate=RATE)
    assert table.schema == CHANGES
    return {("".join(row["antecedent_names"]), "".join(row["consequent_names"])): row for row in table.to_pylist()}


def test_rules_appear_and_vanish_with_the_numbers_of_both_nights() -> None:
    before = mined({"a": 50, "b": 40, "ab": 20, "c": 30, "ac": 16}, [("a", "b")], 100)
    after = mined({"a": 60, "b": 40, "c": 45, "ac": 35, "d": 9}, [("a", "c"), ("c", "a")], 120)
    found = changes(before, after)
    assert {sides: row["change"] for sides, row in found.items()} == {
        ("A", "C"): "appeared",
        ("C", "A"): "appeared",
        ("A", "B"): "vanished",
    }
    appeared, vanished = found["A", "C"], found["A", "B"]
    assert (appeared["basket_count_before"], appeared["antecedent_count_before"], appeared["baskets_before"]) == (
        16, 50, 100,
    )  # fmt: skip
    assert (appeared["confidence_before"], appeared["confidence_after"]) == (16 / 50, 35 / 60)
    assert (vanished["basket_count_before"], vanished["basket_count_after"]) == (20, None)
    assert (vanished["confidence_before"], vanished["confidence_after"]) == (20 / 50, None)
    assert vanished["antecedent_count_after"] == 60
    assert appeared["p_value"] is None


def test_only_what_chance_does_not_explain_has_changed() -> None:
    sets = {"a": 1000, "b": 900, "ab": 500, "c": 800, "ac": 500}
    before = mined(sets, [("a", "b"), ("a", "c")], 5000)
    # 200 more baskets with a: half of them hold c as before, but nearly all hold b.
    after = mined({"a": 1200, "b": 1100, "ab": 690, "c": 900, "ac": 603}, [("a", "b"), ("a", "c")], 6000)
    found = changes(before, after)
    assert set(found) == {("A", "B")}
    assert found["A", "B"]["change"] == "changed"
    assert found["A", "B"]["p_value"] <= found["A", "B"]["false_discovery_rate"] <= 1e-20
    assert changes(before, before) == {}


@pytest.mark.parametrize("now", [(30, 60, 150), (4, 30, 90), (20, 45, 100)])
def test_the_test_is_fishers(now: tuple[int, int, int]) -> None:
    before = (12, 40, 100)
    came = (now[0] - 12, now[1] - 40)
    is_growth = now[2] >= 100 and 0 <= came[0] <= came[1]
    new = came if is_growth else now[:2]
    cells = [[12, 28], [new[0], new[1] - new[0]]]
    expected = min(1, 2 * min(fisher_exact(cells, side).pvalue for side in ("less", "greater")))
    told = tell_change(*(tuple(np.array([value]) for value in side) for side in (before, now)))
    assert told.tolist() == pytest.approx([expected])


def test_confidences_that_stay_are_rarely_said_to_change() -> None:
    random = np.random.default_rng(3)
    antecedent, came = np.full(2000, 400), np.full(2000, 100)
    both, new = random.binomial(antecedent, 0.4), random.binomial(came, 0.4)
    p_values = tell_change((both, antecedent, antecedent * 9), (both + new, antecedent + came, antecedent * 10))
    assert (p_values <= 0.05).mean() <= 0.05
    assert (p_values <= 0.001).mean() <= 0.003
