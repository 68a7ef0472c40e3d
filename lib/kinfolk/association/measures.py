"""How telling a rule is: measures of A → C that are functions of four counts.

Over n baskets, of which n(A) hold the antecedent, n(C) the consequent and n(AC) both, P(·) is a share of the baskets
and ¬ what a basket does not hold. A measure is NaN where it has no value, since its formula divides by 0. Logarithms
are natural. `MEASURES` has them all by name, and docs/measures.md lists them; formulas go back to the sources given
there, many by way of Tan, Kumar and Srivastava (Selecting the right objective measure for association analysis,
Information Systems 29, 2004, table 6), and of Geng and Hamilton (Interestingness measures for data mining, ACM
Computing Surveys 38(3), 2006, table IV).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

Values = NDArray[np.float64]


class Counts(NamedTuple):
    """Baskets that hold both sides of rules, the antecedent, the consequent; and all baskets. Arrays of one shape.

    n(AC) is at most n(A) and n(C), which are above 0 and at most n.
    """

    both: Values
    antecedent: Values
    consequent: Values
    baskets: Values

    @property
    def antecedent_only(self) -> Values:
        """n(A¬C)."""
        return self.antecedent - self.both

    @property
    def consequent_only(self) -> Values:
        """n(¬AC)."""
        return self.consequent - self.both

    @property
    def neither(self) -> Values:
        """n(¬A¬C)."""
        return self.baskets - self.antecedent - self.consequent + self.both

    @property
    def expected(self) -> Values:
        """What n(AC) would be if both sides were independent: n(A) n(C) / n."""
        return self.antecedent * self.consequent / self.baskets


@dataclass(frozen=True)
class Measure:
    """A measure: its name, formula and range, what it says, who gave it, and how it is computed from counts."""

    name: str
    formula: str
    low: float
    high: float
    meaning: str
    source: str
    compute: Callable[[Counts], Values]


MEASURES: dict[str, Measure] = {}
"""All measures by name."""


def count(both: ArrayLike, antecedent: ArrayLike, consequent: ArrayLike, baskets: ArrayLike) -> Counts:
    """Counts as measures take them, from whole numbers or arrays of them."""
    given = (np.asarray(values, np.float64) for values in (both, antecedent, consequent, baskets))
    return Counts(*np.broadcast_arrays(*given))


def measure(name: str, counts: Counts) -> Values:
    """The values of a measure.

    >>> float(measure("lift", count(3, 4, 6, 12)))
    1.5
    """
    return MEASURES[name].compute(counts)


def _measure(
    formula: str, *, low: float, high: float, source: str
) -> Callable[[Callable[[Counts], Values]], Callable[[Counts], Values]]:
    """Enter a function of counts among the measures; its first line says what it tells."""

    def enter(compute: Callable[[Counts], Values]) -> Callable[[Counts], Values]:
        assert compute.__doc__ is not None
        name = compute.__name__
        MEASURES[name] = Measure(name, formula, low, high, " ".join(compute.__doc__.split()), source, compute)
        return compute

    return enter


def _over(dividend: Values, divisor: Values) -> Values:
    """Quotients; NaN where the divisor is 0."""
    quotient: Values = np.full(np.shape(divisor), np.nan)
    np.divide(dividend, divisor, out=quotient, where=divisor != 0)
    return quotient


# How often both sides are bought.


@_measure("P(AC)", low=0, high=1, source="Agrawal, Imielinski and Swami, SIGMOD 1993, section 2")
def support(counts: Counts) -> Values:
    """The share of baskets that hold both sides."""
    return counts.both / counts.baskets


@_measure("P(A)", low=0, high=1, source="Hahsler, A Probabilistic Comparison of Interest Measures, 2015")
def coverage(counts: Counts) -> Values:
    """The share of baskets that the rule says something of."""
    return counts.antecedent / counts.baskets


@_measure("P(C)", low=0, high=1, source="Geng and Hamilton, 2006, table IV")
def prevalence(counts: Counts) -> Values:
    """The share of baskets that hold the consequent anyway."""
    return counts.consequent / counts.baskets


@_measure("P(AC) + P(¬A¬C)", low=0, high=1, source="Kodratoff, Comparing machine learning and KDD, 2001")
def causal_support(counts: Counts) -> Values:
    """The share of baskets that agree with the rule and with its inverse."""
    return (counts.both + counts.neither) / counts.baskets


@_measure("P(AC) - P(A¬C)", low=-1, high=1, source="Kodratoff, Comparing machine learning and KDD, 2001")
def descriptive_confirm(counts: Counts) -> Values:
    """How many more baskets, in shares, confirm the rule than contradict it."""
    return (counts.both - counts.antecedent_only) / counts.baskets


@_measure("P(A¬C)", low=0, high=1, source="Diatta, Ralambondrainy and Totohasina, 2007")
def ralambondrainy(counts: Counts) -> Values:
    """The share of baskets that contradict the rule: lower is better."""
    return counts.antecedent_only / counts.baskets


# How often the consequent follows.


@_measure("P(C|A)", low=0, high=1, source="Agrawal, Imielinski and Swami, SIGMOD 1993, section 2")
def confidence(counts: Counts) -> Values:
    """The share of the antecedent's baskets that hold the consequent."""
    return counts.both / counts.antecedent


@_measure("(n(AC) + 1) / (n(A) + 2)", low=0, high=1, source="Clark and Boswell, EWSL 1991, section 2")
def laplace(counts: Counts) -> Values:
    """The confidence, drawn towards a half the fewer baskets it comes from."""
    return (counts.both + 1) / (counts.antecedent + 2)


@_measure("P(C|A) - P(¬C|A)", low=-1, high=1, source="Kodratoff, 2001; Ganascia, 1991")
def confirmed_confidence(counts: Counts) -> Values:
    """How much more often the rule holds than it fails."""
    return (counts.both - counts.antecedent_only) / counts.antecedent


@_measure("(P(C|A) + P(¬A|¬C)) / 2", low=0, high=1, source="Kodratoff, Comparing machine learning and KDD, 2001")
def causal_confidence(counts: Counts) -> Values:
    """The mean confidence of the rule and of its contrapositive."""
    return (confidence(counts) + _over(counts.neither, counts.baskets - counts.consequent)) / 2


@_measure("P(AC) / P(A¬C)", low=0, high=inf, source="Sebag and Schoenauer, EKAW 1988")
def sebag_schoenauer(counts: Counts) -> Values:
    """How many baskets confirm the rule for each one that contradicts it."""
    return _over(counts.both, counts.antecedent_only)


@_measure("(P(AC) - P(A¬C)) / P(AC)", low=-inf, high=1, source="Vaillant, Lenca and Lallich, DS 2004, table 1")
def counterexample_rate(counts: Counts) -> Values:
    """One less the baskets that contradict the rule for each one that confirms it."""
    return _over(counts.both - counts.antecedent_only, counts.both)


@_measure("(P(AC) - P(A¬C)) / P(C)", low=-inf, high=1, source="Azé and Kodratoff, EGC 2002")
def least_contradiction(counts: Counts) -> Values:
    """How many more baskets confirm the rule than contradict it, for each basket with the consequent."""
    return (counts.both - counts.antecedent_only) / counts.consequent


@_measure("P(AC) P(C|A)", low=0, high=1, source="Ochin, Kumar and Joshi, Indian J. of Science and Technology 9, 2016")
def rule_power_factor(counts: Counts) -> Values:
    """The confidence, weighted by the support."""
    return support(counts) * confidence(counts)


# How much more often than without the antecedent, or by chance.


@_measure("P(C|A) / P(C)", low=0, high=inf, source="Brin, Motwani, Ullman and Tsur, SIGMOD 1997, section 4 (interest)")
def lift(counts: Counts) -> Values:
    """How many times likelier the consequent is with the antecedent; 1 for independence."""
    return counts.both * counts.baskets / (counts.antecedent * counts.consequent)


@_measure(
    "P(AC) - P(A) P(C)", low=-0.25, high=0.25, source="Piatetsky-Shapiro, in Knowledge Discovery in Databases, 1991"
)
def leverage(counts: Counts) -> Values:
    """The share of baskets with both sides above what independence gives."""
    return (counts.both - counts.expected) / counts.baskets


@_measure("P(A) P(¬C) / P(A¬C)", low=0, high=inf, source="Brin, Motwani, Ullman and Tsur, SIGMOD 1997, section 4")
def conviction(counts: Counts) -> Values:
    """How many times as often the rule would fail if its sides were independent."""
    return _over(counts.antecedent - counts.expected, counts.antecedent_only)


@_measure("P(C|A) - P(C)", low=-1, high=1, source="Sahar and Mansour, SPIE 1999, section 3; centered confidence")
def added_value(counts: Counts) -> Values:
    """How much likelier the consequent is with the antecedent than at all."""
    return confidence(counts) - prevalence(counts)


@_measure(
    "(P(C|A) - P(C)) / P(¬C), or / P(C) where negative",
    low=-1,
    high=1,
    source="Shortliffe and Buchanan, Mathematical Biosciences 23, 1975; Berzal et al., 2002; Loevinger's H, 1947",
)
def certainty(counts: Counts) -> Values:
    """The part of what is uncertain of the consequent that the antecedent takes away, or adds."""
    added = added_value(counts)
    room = np.where(added > 0, 1 - prevalence(counts), prevalence(counts))
    return np.where(added == 0, 0.0, _over(added, room))


@_measure("P(C|A) - P(C|¬A)", low=-1, high=1, source="Hofmann and Wilhelm, Computational Statistics 16, 2001")
def difference_of_confidence(counts: Counts) -> Values:
    """How much likelier the consequent is with the antecedent than without."""
    return confidence(counts) - _over(counts.consequent_only, counts.baskets - counts.antecedent)


@_measure("P(C|A) / P(C|¬A)", low=0, high=inf, source="Sistrom and Garvan, Radiology 230, 2004")
def relative_risk(counts: Counts) -> Values:
    """How many times likelier the consequent is with the antecedent than without."""
    return _over(counts.both * (counts.baskets - counts.antecedent), counts.consequent_only * counts.antecedent)


@_measure("P(C|A) / P(C) - 1", low=-1, high=inf, source="Bernard and Charron, 1996")
def varying_rates_liaison(counts: Counts) -> Values:
    """The lift, less that of independence."""
    return lift(counts) - 1


@_measure(
    "(P(AC) - P(A) P(C)) / max(P(AC) P(¬A), P(A) (P(C) - P(AC)))",
    low=-1,
    high=1,
    source="Zhang, Association rules, PAKDD 2000",
)
def zhang(counts: Counts) -> Values:
    """Association where positive, dissociation where negative, of one scale for rare and for frequent sides."""
    both, before, after = support(counts), coverage(counts), prevalence(counts)
    return _over(both - before * after, np.maximum(both * (1 - before), before * (after - both)))


@_measure(
    "(lift - l) / (u - l), its least and its greatest value for P(A) and P(C)",
    low=0,
    high=1,
    source="McNicholas, Murphy and O'Regan, Computational Statistics & Data Analysis 52, 2008",
)
def standardized_lift(counts: Counts) -> Values:
    """Where the lift lies between what it can be at the least and at most, if some basket holds both sides."""
    least = np.maximum(counts.antecedent + counts.consequent - counts.baskets, 1)
    most = np.minimum(counts.antecedent, counts.consequent)
    return np.where(counts.both > 0, _over(counts.both - least, most - least), np.nan)


@_measure(
    "√P(AC) max(P(C|A) - P(C), P(A|C) - P(A))",
    low=-1,
    high=1,
    source="Klösgen, Explora, 1996; Tan, Kumar and Srivastava, 2004, table 6",
)
def klosgen(counts: Counts) -> Values:
    """The added value of the better direction, weighted by the root of the support."""
    backward = counts.both / counts.consequent - coverage(counts)
    return np.sqrt(support(counts)) * np.maximum(added_value(counts), backward)


@_measure(
    "log10 of Laplace's P(C|A) over Laplace's P(C|¬A)",
    low=-inf,
    high=inf,
    source="MacLennan, Tang and Crivat, Data Mining with Microsoft SQL Server 2008, 2008",
)
def importance(counts: Counts) -> Values:
    """Orders of magnitude that the consequent is likelier with the antecedent than without."""
    without = (counts.consequent_only + 1) / (counts.baskets - counts.antecedent + 2)
    return np.log10(laplace(counts) / without)


# How much both sides are the same baskets, in either direction.


@_measure("P(AC) / (P(A) + P(C) - P(AC))", low=0, high=1, source="Jaccard, 1901; van Rijsbergen, 1979 (coherence)")
def jaccard(counts: Counts) -> Values:
    """The share of the baskets with either side that hold both."""
    return counts.both / (counts.antecedent + counts.consequent - counts.both)


@_measure("P(AC) / √(P(A) P(C))", low=0, high=1, source="Tan, Kumar and Srivastava, 2004, table 6 (IS)")
def cosine(counts: Counts) -> Values:
    """The geometric mean of the confidences of both directions."""
    return counts.both / np.sqrt(counts.antecedent * counts.consequent)


@_measure("(P(C|A) + P(A|C)) / 2", low=0, high=1, source="Kulczynski, 1927; Wu, Chen and Han, PKDD 2007")
def kulczynski(counts: Counts) -> Values:
    """The mean of the confidences of both directions."""
    return (counts.both / counts.antecedent + counts.both / counts.consequent) / 2


@_measure("max(P(C|A), P(A|C))", low=0, high=1, source="Tan, Kumar and Srivastava, 2004")
def max_confidence(counts: Counts) -> Values:
    """The confidence of the better direction."""
    return counts.both / np.minimum(counts.antecedent, counts.consequent)


@_measure("min(P(C|A), P(A|C))", low=0, high=1, source="Omiecinski, IEEE TKDE 15(1), 2003, for two sides")
def all_confidence(counts: Counts) -> Values:
    """The confidence of the worse direction."""
    return counts.both / np.maximum(counts.antecedent, counts.consequent)


@_measure(
    "|P(A) - P(C)| / (P(A) + P(C) - P(AC))",
    low=0,
    high=1,
    source="Wu, Chen and Han, Data Mining and Knowledge Discovery 21, 2010",
)
def imbalance(counts: Counts) -> Values:
    """How unlike the two directions are: 0 where both sides are equally frequent."""
    apart = np.abs(counts.antecedent - counts.consequent)
    return apart / (counts.antecedent + counts.consequent - counts.both)


# How far the four counts are from those of independence.


@_measure("P(AC) P(¬A¬C) / (P(A¬C) P(¬AC))", low=0, high=inf, source="Mosteller, JASA 63, 1968")
def odds_ratio(counts: Counts) -> Values:
    """How many times higher the odds of the consequent are with the antecedent than without."""
    return _over(*_odds(counts))


def _odds(counts: Counts) -> tuple[Values, Values]:
    """n(AC) n(¬A¬C) and n(A¬C) n(¬AC), whose quotient is the odds ratio."""
    return counts.both * counts.neither, counts.antecedent_only * counts.consequent_only


@_measure("(o - 1) / (o + 1), o the odds ratio", low=-1, high=1, source="Yule, Phil. Trans. A 194, 1900")
def yule_q(counts: Counts) -> Values:
    """The odds ratio on a scale from -1 to 1."""
    agreeing, differing = _odds(counts)
    return _over(agreeing - differing, agreeing + differing)


@_measure("(√o - 1) / (√o + 1), o the odds ratio", low=-1, high=1, source="Yule, J. Royal Statistical Society 75, 1912")
def yule_y(counts: Counts) -> Values:
    """The root of the odds ratio on a scale from -1 to 1 (colligation)."""
    agreeing, differing = _odds(counts)
    return _over(np.sqrt(agreeing) - np.sqrt(differing), np.sqrt(agreeing) + np.sqrt(differing))


@_measure("(P(AC) - P(A) P(C)) / √(P(A) P(¬A) P(C) P(¬C))", low=-1, high=1, source="Pearson, 1896; Agresti, 2002")
def phi(counts: Counts) -> Values:
    """The correlation of holding one side with holding the other."""
    without = (counts.baskets - counts.antecedent) * (counts.baskets - counts.consequent)
    spread = np.sqrt(counts.antecedent * counts.consequent * without)
    return _over((counts.both - counts.expected) * counts.baskets, spread)


@_measure("n φ²", low=0, high=inf, source="Pearson, 1900; Liu, Hsu and Ma, KDD 1999, section 3")
def chi_square(counts: Counts) -> Values:
    """The test statistic of independence with one degree of freedom, without correction."""
    return counts.baskets * np.square(phi(counts))


@_measure(
    "(P(AC) + P(¬A¬C) - e) / (1 - e), e = P(A) P(C) + P(¬A) P(¬C)",
    low=-1,
    high=1,
    source="Cohen, Educational and Psychological Measurement 20, 1960",
)
def kappa(counts: Counts) -> Values:
    """How much more often baskets hold both sides or neither than by chance, as a part of what there is room for."""
    by_chance = _agreement_by_chance(counts)
    return _over(causal_support(counts) - by_chance, 1 - by_chance)


@_measure(
    "(P(AC) + P(¬A¬C)) / e · (1 - e) / (1 - P(AC) - P(¬A¬C)), e as for κ",
    low=0,
    high=inf,
    source="Aggarwal and Yu, PODS 1998, section 2",
)
def collective_strength(counts: Counts) -> Values:
    """Agreement against that by chance, times disagreement by chance against that seen; 1 for independence."""
    agreement, by_chance = causal_support(counts), _agreement_by_chance(counts)
    return _over(agreement, by_chance) * _over(1 - by_chance, 1 - agreement)


def _agreement_by_chance(counts: Counts) -> Values:
    """P(A) P(C) + P(¬A) P(¬C)."""
    before, after = coverage(counts), prevalence(counts)
    return before * after + (1 - before) * (1 - after)


@_measure(
    "Σ P(ac) log(P(ac) / (P(a) P(c))) / min(H(A), H(C))",
    low=0,
    high=1,
    source="Tan, Kumar and Srivastava, 2004, table 6; Shannon, 1948",
)
def mutual_information(counts: Counts) -> Values:
    """What one side tells of the other, as a part of what there is to tell of the less uncertain one."""
    before, after = coverage(counts), prevalence(counts)
    cells = (
        (counts.both, before, after),
        (counts.antecedent_only, before, 1 - after),
        (counts.consequent_only, 1 - before, after),
        (counts.neither, 1 - before, 1 - after),
    )
    told = np.zeros(np.shape(before))
    for cell, one, other in cells:
        share = cell / counts.baskets
        told = told + xlogy(share, np.where(share > 0, _over(share, one * other), 1.0))
    return _over(np.maximum(told, 0.0), np.minimum(_entropy(before), _entropy(after)))


def _entropy(share: Values) -> Values:
    entropy: Values = -xlogy(share, share) - xlogy(1 - share, 1 - share)
    return entropy


@_measure(
    "P(AC) log(P(C|A) / P(C)) + P(A¬C) log(P(¬C|A) / P(¬C))",
    low=0,
    high=inf,
    source="Smyth and Goodman, Rule induction using information theory, 1991",
)
def j_measure(counts: Counts) -> Values:
    """What is learned of the consequent from the antecedent, weighted by how often there is one."""
    after, follows = prevalence(counts), confidence(counts)
    fails = 1 - follows
    told: Values = xlogy(follows, follows / after) + xlogy(fails, np.where(fails > 0, _over(fails, 1 - after), 1.0))
    return coverage(counts) * told


@_measure(
    "P(A) (P(C|A)² + P(¬C|A)²) + P(¬A) (P(C|¬A)² + P(¬C|¬A)²) - P(C)² - P(¬C)²",
    low=0,
    high=1,
    source="Breiman, Friedman, Olshen and Stone, 1984; Tan, Kumar and Srivastava, 2004, table 6",
)
def gini(counts: Counts) -> Values:
    """How much less mixed the consequent is once the antecedent is known."""
    before, after, follows = coverage(counts), prevalence(counts), confidence(counts)
    otherwise = _over(counts.consequent_only, counts.baskets - counts.antecedent)
    # Where every basket has the antecedent, nothing is otherwise.
    rest = np.where(before < 1, (1 - before) * _purity(otherwise), 0.0)
    return before * _purity(follows) + rest - _purity(after)


def _purity(share: Values) -> Values:
    return np.square(share) + np.square(1 - share)


@_measure(
    "(max P(C|A-side) over both sides - max(P(C), P(¬C))) / (1 - max(P(C), P(¬C)))",
    low=0,
    high=1,
    source="Goodman and Kruskal, JASA 49, 1954",
)
def predictive_association(counts: Counts) -> Values:
    """The part of the errors in guessing the consequent that knowing the antecedent saves (λ)."""
    guessed = np.maximum(counts.consequent, counts.baskets - counts.consequent)
    with_it = np.maximum(counts.both, counts.antecedent_only) + np.maximum(counts.consequent_only, counts.neither)
    return _over(with_it - guessed, counts.baskets - guessed)


@_measure(
    "D / (D + the lesser of P(A¬C), P(¬AC)), D the leverage; where negative D / (D - the lesser of P(AC), P(¬A¬C))",
    low=0,
    high=1,
    source="Kenett and Salini, Quality and Reliability Engineering International 24, 2008",
)
def relative_linkage_disequilibrium(counts: Counts) -> Values:
    """How far the counts are from independence, as a part of how far they could be."""
    distance = leverage(counts) * counts.baskets
    room = np.where(
        distance > 0,
        np.minimum(counts.antecedent_only, counts.consequent_only),
        -np.minimum(counts.both, counts.neither),
    )
    return np.where(distance == 0, 0.0, _over(distance, distance + room))


# How sure it is that this is no chance.


def by_chance(counts: Counts) -> Any:
    """The distribution of n(AC) if both sides are independent and as frequent as they are: hypergeometric."""
    # Imported here: tasks that do not ask for it would wait for it.
    from scipy.stats import hypergeom

    return hypergeom(counts.baskets, counts.consequent, counts.antecedent)


@_measure("(n(AC) - e) / √e, e = n(A) n(C) / n", low=-inf, high=inf, source="Lerman, 1981; Azé and Kodratoff, 2002")
def lerman(counts: Counts) -> Values:
    """How many standard deviations more baskets have both sides than by chance, by Poisson's law."""
    return (counts.both - counts.expected) / np.sqrt(counts.expected)


@_measure("(n(A¬C) - e) / √e, e = n(A) n(¬C) / n", low=-inf, high=inf, source="Gras, L'implication statistique, 1996")
def implication_index(counts: Counts) -> Values:
    """How many standard deviations more baskets contradict the rule than by chance: lower is better."""
    by_chance = counts.antecedent - counts.expected
    return _over(counts.antecedent_only - by_chance, np.sqrt(by_chance))


@_measure(
    "n(AC) over the 99th percentile of what it is by chance",
    low=0,
    high=inf,
    source="Hahsler and Hornik, Intelligent Data Analysis 11, 2007",
)
def hyper_lift(counts: Counts) -> Values:
    """How many times as many baskets have both sides as by chance there are in all but one of a hundred cases."""
    return _over(counts.both, by_chance(counts).ppf(0.99))


@_measure(
    "P(fewer than n(AC) by chance)",
    low=0,
    high=1,
    source="Hahsler and Hornik, Intelligent Data Analysis 11, 2007",
)
def hyper_confidence(counts: Counts) -> Values:
    """How sure it is that so many baskets with both sides are no chance; one less Fisher's p-value."""
    sure: Values = by_chance(counts).cdf(counts.both - 1)
    return sure
