from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import comb, isnan, log, log10, nan, sqrt
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfolk.association.measures import MEASURES, Counts, count, measure
from kinfolk.association.significance import (
    confidence_interval,
    false_discovery_rates,
    fisher_p_values,
    lift_interval,
)

DEFINITIONS: dict[str, Callable[[SimpleNamespace], float]] = {
    "support": lambda p: p.ac,
    "coverage": lambda p: p.a,
    "prevalence": lambda p: p.c,
    "causal_support": lambda p: p.ac + p.nanc,
    "descriptive_confirm": lambda p: p.ac - p.anc,
    "ralambondrainy": lambda p: p.anc,
    "confidence": lambda p: p.ac / p.a,
    "laplace": lambda p: (p.n * p.ac + 1) / (p.n * p.a + 2),
    "confirmed_confidence": lambda p: 2 * p.ac / p.a - 1,
    "causal_confidence": lambda p: 0.5 * (p.ac / p.a + p.nanc / p.nc),
    "sebag_schoenauer": lambda p: p.ac / p.anc,
    "counterexample_rate": lambda p: 1 - p.anc / p.ac,
    "least_contradiction": lambda p: (p.ac - p.anc) / p.c,
    "rule_power_factor": lambda p: p.ac**2 / p.a,
    "lift": lambda p: p.ac / (p.a * p.c),
    "leverage": lambda p: p.ac - p.a * p.c,
    "conviction": lambda p: (1 - p.c) / (1 - p.ac / p.a),
    "added_value": lambda p: p.ac / p.a - p.c,
    "certainty": lambda p: (p.ac / p.a - p.c) / ((1 - p.c) if p.ac / p.a > p.c else p.c),
    "difference_of_confidence": lambda p: p.ac / p.a - p.nac / p.na,
    "relative_risk": lambda p: (p.ac / p.a) / (p.nac / p.na),
    "varying_rates_liaison": lambda p: p.ac / (p.a * p.c) - 1,
    "zhang": lambda p: (p.ac / p.a - p.nac / p.na) / max(p.ac / p.a, p.nac / p.na),
    "standardized_lift": lambda p: (
        (p.ac / (p.a * p.c) - max(p.a + p.c - 1, 1 / p.n) / (p.a * p.c))
        / (1 / max(p.a, p.c) - max(p.a + p.c - 1, 1 / p.n) / (p.a * p.c))
    ),
    "klosgen": lambda p: sqrt(p.ac) * max(p.ac / p.a - p.c, p.ac / p.c - p.a),
    "importance": lambda p: log10(((p.n * p.ac + 1) / (p.n * p.a + 2)) / ((p.n * p.nac + 1) / (p.n * p.na + 2))),
    "jaccard": lambda p: p.ac / (p.ac + p.anc + p.nac),
    "cosine": lambda p: p.ac / sqrt(p.a * p.c),
    "kulczynski": lambda p: 0.5 * (p.ac / p.a + p.ac / p.c),
    "max_confidence": lambda p: max(p.ac / p.a, p.ac / p.c),
    "all_confidence": lambda p: min(p.ac / p.a, p.ac / p.c),
    "imbalance": lambda p: abs(p.a - p.c) / (p.ac + p.anc + p.nac),
    "odds_ratio": lambda p: (p.ac / p.anc) / (p.nac / p.nanc),
    "yule_q": lambda p: (p.odds - 1) / (p.odds + 1),
    "yule_y": lambda p: (sqrt(p.odds) - 1) / (sqrt(p.odds) + 1),
    "phi": lambda p: (p.ac * p.nanc - p.anc * p.nac) / sqrt(p.a * p.na * p.c * p.nc),
    "chi_square": lambda p: sum(p.n * (seen - chance) ** 2 / chance for seen, chance in p.cells),
    "kappa": lambda p: (p.ac + p.nanc - p.a * p.c - p.na * p.nc) / (1 - p.a * p.c - p.na * p.nc),
    "collective_strength": lambda p: (
        (p.ac + p.nanc) / (p.a * p.c + p.na * p.nc) * (1 - p.a * p.c - p.na * p.nc) / (1 - p.ac - p.nanc)
    ),
    "mutual_information": lambda p: (
        sum(seen * log(seen / chance) for seen, chance in p.cells)
        / min(-p.a * log(p.a) - p.na * log(p.na), -p.c * log(p.c) - p.nc * log(p.nc))
    ),
    "j_measure": lambda p: p.ac * log(p.ac / p.a / p.c) + p.anc * log(p.anc / p.a / p.nc),
    "gini": lambda p: (
        p.a * ((p.ac / p.a) ** 2 + (p.anc / p.a) ** 2)
        + p.na * ((p.nac / p.na) ** 2 + (p.nanc / p.na) ** 2)
        - p.c**2
        - p.nc**2
    ),
    "predictive_association": lambda p: (min(p.c, p.nc) - min(p.ac, p.anc) - min(p.nac, p.nanc)) / min(p.c, p.nc),
    "relative_linkage_disequilibrium": lambda p: linkage(p),
    "lerman": lambda p: sqrt(p.n) * (p.ac - p.a * p.c) / sqrt(p.a * p.c),
    "implication_index": lambda p: sqrt(p.n) * (p.anc - p.a * p.nc) / sqrt(p.a * p.nc),
    "hyper_lift": lambda p: p.n * p.ac / next(k for k in range(round(p.n) + 1) if p.at_most(k) >= 0.99),
    "hyper_confidence": lambda p: p.at_most(round(p.n * p.ac) - 1),
}
"""Each measure once more, written in probabilities."""


def linkage(p: SimpleNamespace) -> float:
    """D over the farthest that the four shares can be from independence in its direction."""
    distance = p.ac * p.nanc - p.anc * p.nac
    room = min(p.anc, p.nac) if distance > 0 else min(p.ac, p.nanc)
    return abs(distance) / (abs(distance) + room)


def shares(both: int, antecedent_only: int, consequent_only: int, neither: int) -> SimpleNamespace:
    """The shares of baskets: n stands for not."""
    n = both + antecedent_only + consequent_only + neither
    p = SimpleNamespace(n=n, ac=both / n, anc=antecedent_only / n, nac=consequent_only / n, nanc=neither / n)
    p.a, p.c = (both + antecedent_only) / n, (both + consequent_only) / n
    p.na, p.nc = (consequent_only + neither) / n, (antecedent_only + neither) / n
    p.odds = (both * neither) / (antecedent_only * consequent_only) if antecedent_only * consequent_only else nan
    p.cells = [(p.ac, p.a * p.c), (p.anc, p.a * p.nc), (p.nac, p.na * p.c), (p.nanc, p.na * p.nc)]
    before, after = both + antecedent_only, both + consequent_only

    def at_most(most: int) -> float:
        ways = sum(comb(after, k) * comb(n - after, before - k) for k in range(min(most, before) + 1))
        return ways / comb(n, before)

    p.at_most = at_most
    return p


def counts_of(both: int, antecedent_only: int, consequent_only: int, neither: int) -> Counts:
    n = both + antecedent_only + consequent_only + neither
    return count(both, both + antecedent_only, both + consequent_only, n)


def test_every_measure_has_its_definition_here() -> None:
    assert list(DEFINITIONS) == list(MEASURES)


@pytest.mark.parametrize("name", MEASURES)
@given(cells=st.tuples(*[st.integers(1, 40)] * 4))
def test_measures_follow_their_definitions(name: str, cells: tuple[int, int, int, int]) -> None:
    try:
        expected = DEFINITIONS[name](shares(*cells))
    except ZeroDivisionError:
        expected = nan
    found = float(measure(name, counts_of(*cells)))
    if isnan(expected):
        assert isnan(found)
    else:
        assert found == pytest.approx(expected, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("name", MEASURES)
def test_measures_keep_within_their_ranges_also_where_cells_are_empty(name: str) -> None:
    cells = np.array([some for some in product(range(4), repeat=4) if some[0] + some[1] and some[0] + some[2]])
    both, antecedent_only, consequent_only, _ = cells.T
    counts = count(both, both + antecedent_only, both + consequent_only, cells.sum(axis=1))
    with np.errstate(all="raise", under="ignore"):
        values = MEASURES[name].compute(counts)
    known = values[~np.isnan(values)]
    assert len(known) >= len(values) / 3
    assert (known >= MEASURES[name].low - 1e-12).all()
    assert (known <= MEASURES[name].high + 1e-12).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0.0) for name in ("leverage", "added_value", "certainty", "difference_of_confidence", "zhang", "phi")),
        *((name, 0.0) for name in ("yule_q", "yule_y", "kappa", "mutual_information", "j_measure", "gini", "lerman")),
        *((name, 0.0) for name in ("chi_square", "implication_index", "relative_linkage_disequilibrium", "klosgen")),
        *((name, 1.0) for name in ("lift", "conviction", "relative_risk", "odds_ratio", "collective_strength")),
    ],
)
def test_what_measures_say_of_independent_sides(name: str, value: float) -> None:
    assert float(measure(name, counts_of(6, 14, 24, 56))) == pytest.approx(value, abs=1e-12)


def test_conviction_of_a_certain_rule_is_unknown_also_where_everybody_buys_the_consequent() -> None:
    found = measure("conviction", count([4, 4, 9, 3], [4, 4, 9, 4], [4, 10, 10, 10], 10))
    assert [isnan(value) for value in found] == [True, True, True, False]
    assert found[3] == 0


def test_large_counts_lose_no_digits() -> None:
    found = count(3 * 10**8, 10**9, 2 * 10**9, 10**10)
    assert float(measure("leverage", found)) == pytest.approx(0.01)
    assert float(measure("odds_ratio", found)) == pytest.approx(3e8 * 7.3e9 / (7e8 * 1.7e9))


def test_intervals_cover_the_true_value_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    share = np.array([0.06, 0.04, 0.14, 0.76])
    cells = random.multinomial(2000, share, size=4000)
    both, antecedent_only, consequent_only, _ = cells.T
    counts = count(both, both + antecedent_only, both + consequent_only, 2000)
    for (low, high), true in ((confidence_interval(counts), 0.6), (lift_interval(counts), 0.06 / (0.1 * 0.2))):
        assert (low < high).all()
        assert ((low <= true) & (true <= high)).mean() == pytest.approx(0.95, abs=0.012)


@given(st.tuples(*[st.integers(0, 12)] * 4))
def test_fishers_test_counts_the_ways(cells: tuple[int, int, int, int]) -> None:
    both, antecedent_only, consequent_only, neither = cells
    cells = both, antecedent_only + 1, consequent_only + 1, neither
    expected = 1 - shares(*cells).at_most(both - 1)
    assert float(fisher_p_values(counts_of(*cells))) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.001, 0.9), st.integers(0, 50))
def test_rates_report_what_the_step_up_procedure_reports(p_values: list[float], rate: float, unseen: int) -> None:
    tests = len(p_values) + unseen
    rates = false_discovery_rates(np.array(p_values), tests=tests)
    # Benjamini and Hochberg: reject up to the last k with p(k) <= k q / m.
    in_order = sorted(p_values)
    passed = [k for k, p_value in enumerate(in_order, 1) if p_value * tests / k <= rate]
    limit = in_order[passed[-1] - 1] if passed else -1.0
    assert (rates <= rate).tolist() == [p_value <= limit for p_value in p_values]


def test_few_false_rules_are_reported_where_no_item_has_to_do_with_another() -> None:
    random = np.random.default_rng(1)
    reported = 0
    for _ in range(200):
        baskets = random.random((500, 12)) < 0.3
        both = baskets.T.astype(int) @ baskets
        one, other = np.triu_indices(12, 1)
        counts = count(both[one, other], both[one, one], both[other, other], 500)
        reported += bool((false_discovery_rates(fisher_p_values(counts)) <= 0.05).any())
    assert reported / 200 <= 0.081
