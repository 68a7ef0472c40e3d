"""An explained rule tells the counts, the chances and the baskets that a look at the baskets gives."""

from __future__ import annotations

from math import comb, log, sqrt
from typing import Any

import pytest
from rule_lake import BASKETS, NAMES, WHEN, draw_baskets, list_itemsets, list_rules, put, put_rules, write_id

from kinfolk.association.measure_groups import group_measures
from kinfolk.association.measures import MEASURES
from kinfolk.errors import NotFoundError, SettingsError
from kinfolk.rulebook.explanation import explain_rule
from kinfolk.rulebook.rendering import render_rule
from kinfolk.rulebook.search import RuleSearch, search_rules
from kinfolk.tables.catalog import ASSOCIATION_RULES, CLEAN_EVENTS, FREQUENT_ITEMSETS
from kinfolk.tables.lake import Lake

JAM = RuleSearch(antecedent=("b1", "b2"), consequent=("j1",), sort="length", is_ascending=True)
"""Whose first rule is bread and butter → jam."""


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return put_rules(str(tmp_path_factory.mktemp("lake")))


def holding(*items: str) -> set[str]:
    return {basket_id for basket_id, held in draw_baskets().items() if set(items) <= held}


def test_every_measure_is_in_one_group() -> None:
    assert [measure.name for group in group_measures().values() for measure in group] == list(MEASURES)
    assert all(group_measures().values())


def test_a_rule_is_told_with_its_counts_and_measures(stocked: Lake) -> None:
    rule = explain_rule(stocked, JAM, 1)
    assert (rule.antecedent, rule.consequent) == ({"b1": "Bread", "b2": "Butter"}, {"j1": "Jam"})
    counts = len(holding("b1", "b2", "j1")), len(holding("b1", "b2")), len(holding("j1")), BASKETS
    assert (rule.basket_count, rule.antecedent_count, rule.consequent_count, rule.baskets) == counts
    both, one, other, every = counts
    told = {measure.name: measure.value for group in rule.measures.values() for measure in group}
    assert list(told) == list(MEASURES)
    assert told["confidence"] == pytest.approx(both / one)
    assert told["jaccard"] == pytest.approx(both / (one + other - both))
    ways = [comb(one, k) * comb(every - one, other - k) for k in range(min(one, other) + 1)]
    assert rule.p_value == pytest.approx(sum(ways[both:]) / sum(ways))


def test_a_category_is_held_where_one_of_its_items_is(lake: str) -> None:
    """An item is what most of its lines say it is; a category that only begins alike is another one."""
    stocked = Lake(lake)
    paths = {"milk": "Food > Dairy", "curd": "Food > Dairy > Fresh", "soap": "Food > Dairying", "nail": "Tools"}
    baskets = {"1": ["milk", "nail"], "2": ["curd", "nail"], "3": ["soap", "nail"], "4": ["milk"], "5": ["tea", "nail"]}
    lines = [(basket, item, paths.get(item)) for basket, items in baskets.items() for item in items]
    lines += [("6", "tea", "Food > Dairy"), ("7", "tea", "Drinks"), ("8", "tea", "Drinks")]
    common = {"source": "s", "file": "f", "quantity": 1}
    put(
        stocked,
        CLEAN_EVENTS,
        [
            common | {"row": row, "basket_id": basket, "item_id": item, "category": path}
            for row, (basket, item, path) in enumerate(lines)
        ],
    )
    sides = {"antecedent": ["category:Food > Dairy"], "consequent": ["nail"]}
    ids = {f"{side}_id": write_id(items) for side, items in sides.items()}
    names = {"antecedent_names": ["Dairy"], "consequent_names": ["nail"]}
    counts = {"basket_count": 2, "antecedent_count": 3, "consequent_count": 4, "baskets": 8, "lift": 4 / 3}
    put(stocked, ASSOCIATION_RULES, [{**sides, **ids, **names, **counts, "support": 0.25, "confidence": 2 / 3}])
    samples = explain_rule(stocked, RuleSearch(), 1).samples
    assert samples is not None
    assert [basket.basket_id for basket in samples.both] == ["1", "2"]
    assert [basket.basket_id for basket in samples.exceptions] == ["4"]
    assert [(item.name, item.is_in_rule) for item in samples.both[0].items] == [("milk", True), ("nail", True)]


def test_intervals_are_those_of_the_confidence_and_the_lift(stocked: Lake) -> None:
    rule = explain_rule(stocked, JAM, 1)
    both, one, other, every = rule.basket_count, rule.antecedent_count, rule.consequent_count, rule.baskets
    z, share = 1.959963984540054, both / one
    # Wilson's limits are where the distance to the share is z standard deviations.
    for limit in (rule.confidence_interval.low, rule.confidence_interval.high):
        assert abs(share - limit) == pytest.approx(z * sqrt(limit * (1 - limit) / one))
    lift = both * every / (one * other)
    low, high = rule.lift_interval.low, rule.lift_interval.high
    assert low < lift < high
    assert log(lift / low) == pytest.approx(log(high / lift))
    assert rule.lift_interval.level == 0.95


def test_samples_hold_both_sides_and_exceptions_lack_the_consequent(stocked: Lake) -> None:
    rule = explain_rule(stocked, JAM, 1, samples=2)
    assert rule.samples is not None
    assert len(rule.samples.both) == len(rule.samples.exceptions) == 2
    assert {basket.basket_id for basket in rule.samples.both} <= holding("b1", "b2", "j1")
    assert {basket.basket_id for basket in rule.samples.exceptions} <= holding("b1", "b2") - holding("j1")
    assert all(len(kind) == 1 for kind in vars(explain_rule(stocked, JAM, 1, samples=1).samples).values())


def test_the_place_is_that_of_the_list(stocked: Lake) -> None:
    search = RuleSearch(sort="zhang", limit=3)
    listed = search_rules(stocked, RuleSearch(sort="zhang", limit=9)).rules.to_pylist()
    for place in (1, 9):
        rule = explain_rule(stocked, search, place)
        expected = listed[place - 1]
        assert [list(side) for side in (rule.antecedent, rule.consequent)] == [
            expected["antecedent"],
            expected["consequent"],
        ]
    with pytest.raises(NotFoundError, match=rf"no rule 1000: {len(list_rules())} fit"):
        explain_rule(stocked, search, 1000)
    for place, samples in ((0, 3), (1, 0)):
        with pytest.raises(SettingsError, match="counted from 1; 0 came"):
            explain_rule(stocked, search, place, samples=samples)


def test_the_words_say_what_the_numbers_do(stocked: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    rule = explain_rule(stocked, JAM, 1)
    text = render_rule(rule)
    both, one, other = len(holding("b1", "b2", "j1")), len(holding("b1", "b2")), len(holding("j1"))
    assert text.startswith("rule 1: Bread + Butter → Jam\n\n")
    assert (
        f"Of {one} baskets with Bread and Butter, {both} ({100 * both / one:.1f}%) also hold Jam; among all {BASKETS} "
        f"baskets it is {100 * other / BASKETS:.1f}%, so {both * BASKETS / one / other:.3g} times as often."
    ) in text
    table = [line.split()[-3:] for line in text.splitlines() if line.startswith(("with the", "without it ", "all "))]
    neither = BASKETS - one - other + both
    expected = [[both, one - both, one], [other - both, neither, BASKETS - one], [other, BASKETS - other, BASKETS]]
    assert [list(map(int, row)) for row in table] == expected
    assert all(f"\n{name} " in text for name in MEASURES)
    assert all(f"\n\n{meaning}:\n" in text for meaning in group_measures())
    assert rule.samples is not None
    basket = rule.samples.both[0]
    assert basket.time is not None
    shown = next(line for line in text.splitlines() if line.startswith(f"{basket.basket_id} "))
    assert f"{basket.time:%Y-%m-%d %H:%M:%S}  {basket.customer_id} " in shown
    assert shown.split("  ")[-1].startswith("*Bread, *Butter, *Jam")
    assert shown.count("*") == 3
    assert "held out" not in text
    assert "confounder" not in text


def test_what_mining_found_besides_is_told(lake: str) -> None:
    stocked = put_rules(lake)
    found: dict[str, Any] = {
        "improvement": 0.125, "false_discovery_rate": 0.03, "holdout_baskets": 17, "holdout_confidence": 0.75,
        "holdout_lift": None, "adjusted_odds_ratio": 2.5, "reversed_in": ["north", "south"],
    }  # fmt: skip
    put(stocked, ASSOCIATION_RULES, [list_rules()[0] | found])
    rule = explain_rule(stocked, RuleSearch(), 1)
    assert rule.mined == found
    text = " ".join(render_rule(rule).split())
    assert "less the highest of a simpler rule to the same item is 0.125." in text
    assert "a share of 0.03 of the rules may be false." in text
    assert "held out: 17 with both sides, confidence 0.75." in text
    assert "Reversed within north and south of the confounder; the odds ratio within its values is 2.5." in text
    put(stocked, ASSOCIATION_RULES, [list_rules()[0] | {"reversed_in": []}])
    assert "Reversed within no value of the confounder." in render_rule(explain_rule(stocked, RuleSearch(), 1))


def test_a_lake_without_events_shows_the_rest(lake: str) -> None:
    stocked = Lake(lake)
    put(stocked, FREQUENT_ITEMSETS, list_itemsets())
    put(stocked, ASSOCIATION_RULES, list_rules())
    rule = explain_rule(stocked, JAM, 1)
    assert rule.samples is None
    assert "no clean_events to show baskets of" in render_rule(rule)


def test_a_rule_without_an_exception_shows_none(stocked: Lake) -> None:
    rule = explain_rule(stocked, RuleSearch(sort="confidence"), 1)
    assert rule.basket_count == rule.antecedent_count
    told = {measure.name: measure.value for group in rule.measures.values() for measure in group}
    assert (told["confidence"], told["conviction"], told["sebag_schoenauer"]) == (1, None, None)
    assert rule.samples is not None
    assert rule.samples.exceptions == []
    assert "of the consequent: none" in render_rule(rule)
    assert {type(basket.time) for basket in rule.samples.both} <= {type(WHEN), type(None)}
    assert set(rule.antecedent) | set(rule.consequent) <= set(NAMES)
