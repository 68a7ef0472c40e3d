"""Rules are searched as plain Python would search the rows of the table."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from rule_lake import BASKETS, LEAST, NAMES, Row, list_rules, put, put_rules

from kinfolk.association.measures import MEASURES
from kinfolk.errors import NotFoundError, SettingsError
from kinfolk.rulebook.numbers import parse_bounds
from kinfolk.rulebook.search import RuleSearch, search_rules
from kinfolk.tables.catalog import ASSOCIATION_RULES, FREQUENT_ITEMSETS
from kinfolk.tables.lake import Lake
from kinfolk.tables.rule_lookups import LENGTH, Bounds

Key = tuple[str, str]


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return put_rules(str(tmp_path_factory.mktemp("lake")))


def find(lake: Lake, **options: Any) -> list[Row]:
    rows: list[Row] = search_rules(lake, RuleSearch(**{"limit": None} | options)).rules.to_pylist()
    return rows


def keys(rows: list[Row]) -> list[Key]:
    return [(row["antecedent_id"], row["consequent_id"]) for row in rows]


def length(row: Row) -> int:
    return len(row["antecedent"]) + len(row["consequent"])


def jaccard(row: Row) -> float:
    return row["basket_count"] / (row["antecedent_count"] + row["consequent_count"] - row["basket_count"])


def odds_ratio(row: Row) -> float | None:
    both = row["basket_count"]
    one, other = row["antecedent_count"] - both, row["consequent_count"] - both
    return both * (BASKETS - both - one - other) / (one * other) if one * other else None


def test_without_a_wish_all_rules_come_strongest_first(stocked: Lake) -> None:
    expected = sorted(
        list_rules(),
        key=lambda r: (-r["lift"], -r["confidence"], -r["basket_count"], r["antecedent_id"], r["consequent_id"]),
    )
    assert keys(find(stocked)) == keys(expected)
    assert keys(find(stocked, limit=7)) == keys(expected[:7])
    told = find(stocked)[0]
    assert {name: expected[0][name] for name in told} == told


@pytest.mark.parametrize(
    ("options", "is_wanted"),
    [
        ({"items": ("j1",)}, lambda r: "j1" in r["antecedent"] + r["consequent"]),
        ({"items": ("JAM", "b1")}, lambda r: {"j1", "b1"} <= {*r["antecedent"], *r["consequent"]}),
        ({"items": ("tea",)}, lambda r: {"t'1", "c1"} & {*r["antecedent"], *r["consequent"]}),
        ({"antecedent": ("b1",)}, lambda r: "b1" in r["antecedent"]),
        ({"antecedent": ("b1", "butter")}, lambda r: {"b1", "b2"} <= {*r["antecedent"]}),
        ({"consequent": ("tea",)}, lambda r: {"t'1", "c1"} & {*r["consequent"]}),
        (
            {"antecedent": ("t'1",), "consequent": ("C1",)},
            lambda r: "t'1" in r["antecedent"] and "c1" in r["consequent"],
        ),
        ({"bounds": (Bounds("confidence", 0.6),)}, lambda r: r["confidence"] >= 0.6),
        ({"bounds": (Bounds("support", 6 / BASKETS),)}, lambda r: r["basket_count"] >= 6),
        ({"bounds": (Bounds("lift", 1.2, 1.5),)}, lambda r: 1.2 <= r["lift"] <= 1.5),
        ({"bounds": (Bounds("basket_count", high=LEAST),)}, lambda r: r["basket_count"] == LEAST),
        ({"bounds": (Bounds(LENGTH, 3, 3),)}, lambda r: length(r) == 3),
        ({"bounds": (Bounds("conviction"),)}, lambda r: r["conviction"] is not None),
        ({"bounds": (Bounds("improvement", 0.2),)}, lambda r: r["improvement"] is not None and r["improvement"] >= 0.2),
        ({"bounds": (Bounds("jaccard", 0.25),)}, lambda r: jaccard(r) >= 0.25),
        ({"bounds": (Bounds("odds_ratio", high=3),)}, lambda r: odds_ratio(r) is not None and odds_ratio(r) <= 3),
        (
            {"items": ("j1",), "bounds": (Bounds("jaccard", high=0.3), Bounds("jaccard", 0.15), Bounds("lift", 1.1))},
            lambda r: "j1" in r["antecedent"] + r["consequent"] and 0.15 <= jaccard(r) <= 0.3 and r["lift"] >= 1.1,
        ),
    ],
    ids=str,
)  # fmt: skip
def test_a_filter_lets_through_what_it_says(
    stocked: Lake, options: dict[str, Any], is_wanted: Callable[[Row], bool]
) -> None:
    expected = [row for row in list_rules() if is_wanted(row)]
    assert 0 < len(expected) < len(list_rules())
    assert sorted(keys(find(stocked, **options))) == sorted(keys(expected))


VALUES: dict[str, Callable[[Row], float | None]] = {
    "confidence": lambda r: r["confidence"],
    "basket_count": lambda r: r["basket_count"],
    "conviction": lambda r: r["conviction"],
    "improvement": lambda r: r["improvement"],
    LENGTH: length,
    "jaccard": jaccard,
    "odds_ratio": odds_ratio,
}
COMPUTED = ("jaccard", "odds_ratio")


@pytest.mark.parametrize("is_ascending", [False, True])
@pytest.mark.parametrize("name", VALUES)
def test_rules_come_in_the_order_of_any_number(stocked: Lake, name: str, is_ascending: bool) -> None:
    sign = 1 if is_ascending else -1

    def place(row: Row) -> tuple[Any, ...]:
        value = VALUES[name](row)
        # Rounded where it is computed: what is equal may differ in the last digit.
        first = (1, 0.0) if value is None else (0, sign * (round(value, 9) if name in COMPUTED else value))
        return *first, -row["confidence"], -row["basket_count"], row["antecedent_id"], row["consequent_id"]

    found = find(stocked, sort=name, is_ascending=is_ascending)
    by_key = dict(zip(keys(list_rules()), list_rules(), strict=True))
    for row, key in zip(found, keys(found), strict=True):
        expected = VALUES[name](by_key[key])
        assert row[name] == (expected if expected is None else pytest.approx(expected))
    if name in COMPUTED:
        values = [place(by_key[key])[:2] for key in keys(found)]
        assert values == sorted(values)
    else:
        assert keys(found) == keys(sorted(list_rules(), key=place))
    assert find(stocked, sort=name, is_ascending=is_ascending, limit=11) == found[:11]


def test_the_best_are_kept_while_more_rules_come_in(stocked: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = find(stocked, sort="jaccard")
    read = search_rules.__globals__["read_rules"]

    def read_in_pieces(*arguments: Any) -> Any:
        for rows in read(*arguments):
            yield from (rows.slice(start, 10) for start in range(0, max(rows.num_rows, 1), 10))

    monkeypatch.setitem(search_rules.__globals__, "read_rules", read_in_pieces)
    monkeypatch.setitem(search_rules.__globals__, "_MOST_WAITING", 15)
    assert find(stocked, sort="jaccard", limit=5) == whole[:5]


def test_every_measure_can_be_shown_and_is_null_where_it_has_no_value(stocked: Lake) -> None:
    rows = find(stocked, measures=tuple(MEASURES))
    assert all(set(MEASURES) <= set(row) for row in rows)
    assert not any(isinstance(row[name], float) and math.isnan(row[name]) for row in rows for name in MEASURES)
    for row in rows:
        assert row["jaccard"] == pytest.approx(jaccard(row))
        assert row["odds_ratio"] == (None if odds_ratio(row) is None else pytest.approx(odds_ratio(row)))
        assert (row["odds_ratio"] is None) == (
            row["basket_count"] in (row["antecedent_count"], row["consequent_count"])
        )


def test_the_items_that_were_meant_are_told(stocked: Lake) -> None:
    found = search_rules(stocked, RuleSearch(items=("tea",), consequent=("J1",)))
    assert found.items == {"t'1": "Green TEA", "c1": "Tea cup", "j1": "Jam"}
    # An id that fits wins over names that have it as a part.
    assert search_rules(stocked, RuleSearch(items=("c1",))).items == {"c1": "Tea cup"}


def test_an_item_that_only_rules_have_is_found(lake: str) -> None:
    stocked = put_rules(lake)
    put(stocked, FREQUENT_ITEMSETS, [])
    assert {row["consequent_names"][0] for row in find(stocked, consequent=("jam",))} >= {"Jam"}


def test_what_is_not_there_is_answered_with_what_is_near(stocked: Lake, lake: str) -> None:
    with pytest.raises(NotFoundError, match=r"'jem'.*did you mean j1 \(Jam\)\?.*min_support"):
        find(stocked, items=("j1", "jem"))
    with pytest.raises(SettingsError, match=r"no measure 'jacard'; did you mean jaccard\?; docs/measures.md lists all"):
        find(stocked, sort="jacard")
    with pytest.raises(SettingsError, match=r"no measure 'colour'; docs/measures.md.*improvement"):
        find(stocked, bounds=(Bounds("colour", 1),))
    with pytest.raises(SettingsError, match="limit on rows is 0"):
        find(stocked, limit=0)
    with pytest.raises(NotFoundError, match=r"no table association_rules .*the mine job writes it.*--only mine"):
        find(Lake(lake))
    with pytest.raises(NotFoundError, match=r"no table frequent_itemsets .*the mine job writes it"):
        find(Lake(lake), items=("jam",))


def test_a_table_without_a_rule_gives_none(lake: str) -> None:
    stocked = put_rules(lake)
    put(stocked, ASSOCIATION_RULES, [])
    assert find(stocked, items=(NAMES["j1"],), measures=tuple(MEASURES)) == []


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("lift=2", Bounds("lift", 2, math.inf)),
        (" lift = 2.. ", Bounds("lift", 2, math.inf)),
        ("implication_index=..-1.5", Bounds("implication_index", -math.inf, -1.5)),
        ("zhang=-.5...5", Bounds("zhang", -0.5, 0.5)),
        ("p_value=..1e-9", Bounds("p_value", -math.inf, 1e-9)),
    ],
)
def test_bounds_are_read(text: str, bounds: Bounds) -> None:
    assert parse_bounds(text) == bounds


@pytest.mark.parametrize(
    "text", ["lift", "lift=", "lift=..", "lift=high", "lift=nan", "lift=inf", "lift=..inf", "lift=1..2..3", "lift>2"]
)
def test_what_is_no_bound_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is no bound; write MEASURE=LOW"):
        parse_bounds(text)


def test_a_bound_that_lets_nothing_through_is_refused() -> None:
    with pytest.raises(SettingsError, match="2 is above 1"):
        parse_bounds("lift=2..1")
