"""What baskets that were set apart say of rules: held-out ones, and those of each shop, country or period.

Shape suffixes: S itemsets, Q rules, G strata, N rows of a table, X bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.association.baskets import LISTS, Baskets, Integers, encode_known, whole
from kinfolk.association.lattice import Lattice
from kinfolk.association.measures import measure
from kinfolk.association.recount import count_sets
from kinfolk.association.rules import Rules, count_rules
from kinfolk.kernels.compiling import kernel

STRATUM = "stratum"
"""The column of a table that says which stratum a row is of."""
COLUMNS = {
    "holdout_baskets": pa.int64(),
    "holdout_confidence": pa.float64(),
    "holdout_lift": pa.float64(),
    "adjusted_odds_ratio": pa.float64(),
    "reversed_in": pa.list_(pa.string()),
}
"""The columns of rules that tell of evidence."""

_MOST_STRATA = 200
_FEWEST_EXPECTED = 5.0
"""Baskets with both sides that a stratum would have by chance, below which it has no say."""
_SHARES = 1 << 32


@dataclass(frozen=True)
class Counted:
    """How many of some other baskets hold each itemset."""

    count_S: Integers
    basket_count: int


@dataclass(frozen=True)
class Evidence:
    """Held-out baskets, None if there are none, and those of each stratum by its name."""

    held_out: Counted | None
    strata: dict[str, Counted]

    def describe(self, rules: Rules, lattice: Lattice) -> list[pa.Array]:
        """The columns of `COLUMNS`; null where there is no evidence."""
        held_out, (odds_Q, reversed_Q) = self._tell_held_out(rules, lattice), self._tell_strata(rules, lattice)
        return [*held_out, odds_Q, reversed_Q]

    def _tell_held_out(self, rules: Rules, lattice: Lattice) -> list[pa.Array]:
        if self.held_out is None:
            return [pa.nulls(len(rules.both_Q), kind) for kind in list(COLUMNS.values())[:3]]
        counts = count_rules(rules, lattice._replace(count_S=self.held_out.count_S), self.held_out.basket_count)
        # Unlike the baskets that rules are of, these may lack a side altogether.
        with np.errstate(invalid="ignore", divide="ignore"):
            told = [pa.array(measure(name, counts), from_pandas=True) for name in ("confidence", "lift")]
        return [pa.array(counts.both.astype(np.int64)), *told]

    def _tell_strata(self, rules: Rules, lattice: Lattice) -> tuple[pa.Array, pa.Array]:
        """The odds ratio within strata, and in which of them a rule is reversed.

        That is, where the consequent is rarer among baskets with the antecedent than among all, although it is more
        frequent in all strata together, or the other way round. The odds ratios of the strata are pooled as Mantel and
        Haenszel do (Statistical aspects of the analysis of data from retrospective studies of disease, J. National
        Cancer Institute 22, 1959).
        """
        size = len(rules.both_Q)
        if not self.strata:
            return pa.nulls(size, COLUMNS["adjusted_odds_ratio"]), pa.nulls(size, COLUMNS["reversed_in"])
        for_Q, against_Q = np.zeros((2, size))
        is_reversed_GQ = np.empty((len(self.strata), size), bool)
        total = sum((counted.count_S for counted in self.strata.values()), np.zeros(len(lattice.count_S), np.int64))
        baskets = sum(counted.basket_count for counted in self.strata.values())
        overall_Q = count_rules(rules, lattice._replace(count_S=total), baskets)
        direction_Q = np.sign(overall_Q.both - overall_Q.expected)
        for place, counted in enumerate(self.strata.values()):
            counts = count_rules(rules, lattice._replace(count_S=counted.count_S), counted.basket_count)
            for_Q += counts.both * counts.neither / counted.basket_count
            against_Q += counts.antecedent_only * counts.consequent_only / counted.basket_count
            is_opposite_Q = np.sign(counts.both - counts.expected) == -direction_Q
            is_reversed_GQ[place] = (counts.expected >= _FEWEST_EXPECTED) & is_opposite_Q & (direction_Q != 0)
        odds_Q = np.divide(for_Q, against_Q, out=np.full(size, np.nan), where=against_Q > 0)
        stratum_J, rule_J = np.nonzero(is_reversed_GQ)
        order = np.argsort(rule_J, kind="stable")
        names = pa.array(list(self.strata), pa.string()).take(pa.array(stratum_J[order]))
        offsets = np.concatenate([[0], np.cumsum(is_reversed_GQ.sum(axis=0))]).astype(np.int32)
        return pa.array(odds_Q, from_pandas=True), pa.ListArray.from_arrays(pa.array(offsets), names)


def gather_evidence(
    kept: pa.Table,
    held_out: pa.Table | None,
    strata: Sequence[str],
    baskets: Baskets,
    lattice: Lattice,
    *,
    threads: int,
) -> Evidence:
    """Count the sets in held-out baskets, and in those of each of some strata."""

    def count(table: pa.Table) -> Counted:
        encoded = encode_known(table, baskets, threads=threads)
        return Counted(count_sets(lattice, encoded), encoded.basket_count)

    counted = {name: count(kept.filter(pc.equal(kept[STRATUM], name))) for name in strata}
    return Evidence(None if held_out is None else count(held_out), counted)


def tally_strata(table: pa.Table) -> pa.Table:
    """How many rows each stratum has: columns stratum, rows. Rows without one are of none."""
    if STRATUM not in table.column_names:
        return pa.table({STRATUM: pa.nulls(0, pa.string()), "rows": pa.nulls(0, pa.int64())})
    tally = table.filter(pc.field(STRATUM).is_valid()).group_by(STRATUM).aggregate([([], "count_all")])
    return tally.select([STRATUM, "count_all"]).rename_columns([STRATUM, "rows"])


def choose_strata(tally: pa.Table) -> list[str]:
    """The strata within which rules are checked, sorted: where there are very many, those with the most rows."""
    ordered = tally.sort_by([("rows", "descending"), (STRATUM, "ascending")])
    return sorted(ordered[STRATUM].slice(0, _MOST_STRATA).to_pylist())


def hold_out(table: pa.Table, share: float) -> tuple[pa.Table, pa.Table]:
    """Set a share of the baskets apart: (the others, these).

    Which ones depends on their ids alone, or in a table of lists on the places of the rows.
    """
    if LISTS in table.column_names:
        number_N = np.arange(table.num_rows, dtype=np.uint64)
    else:
        encoded = whole(pc.dictionary_encode(table["basket_id"].cast(pa.string())))
        number_N = _hash_all(encoded.dictionary)[encoded.indices.to_numpy()]
    # The bits are mixed as SplitMix64 does (Steele, Lea and Flood, Fast splittable generators, OOPSLA 2014).
    mixed_N = (number_N + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed_N = (mixed_N ^ (mixed_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed_N = (mixed_N ^ (mixed_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    is_held_N = pa.array((mixed_N >> np.uint64(32)) < np.uint64(round(share * _SHARES)))
    return table.filter(pc.invert(is_held_N)), table.filter(is_held_N)


def _hash_all(texts: pa.StringArray) -> NDArray[np.uint64]:
    wide = texts.cast(pa.large_string())
    _, offsets, octets = wide.buffers()
    hash_N = np.empty(len(texts), np.uint64)
    start_N = np.frombuffer(offsets, np.int64)[wide.offset : wide.offset + len(wide) + 1]
    _hash(np.frombuffer(octets or b"", np.uint8), start_N, hash_N)
    return hash_N


@kernel
def _hash(octet_X: NDArray[np.uint8], start_N: Integers, hash_N: NDArray[np.uint64]) -> None:
    """Hash texts by FNV-1a (Fowler, Noll and Vo, draft-eastlake-fnv)."""
    for n in range(len(hash_N)):
        value = np.uint64(0xCBF29CE484222325)
        for x in range(start_N[n], start_N[n + 1]):
            value = (value ^ np.uint64(octet_X[x])) * np.uint64(0x100000001B3)
        hash_N[n] = value
