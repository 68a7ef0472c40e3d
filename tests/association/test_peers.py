"""The sets that PyFIM finds, and the measures that mlxtend gives to rules, of baskets as shops have them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kinfolk.association.baskets import encode_baskets
from kinfolk.association.kernel import search_itemsets
from kinfolk.association.lattice import CLOSED, GENERATOR, MAXIMAL, link_subsets, mark_sets
from kinfolk.association.measures import MEASURES, Counts, measure
from kinfolk.association.mining import mine_baskets
from kinfolk.association.tree import Limits
from kinfolk.samples.quest import draw_baskets
from kinfolk.settings import AssociationSettings
from tests.benchmarks.harness.peers import PROGRAMS, PeerProcess, peer_python

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

BASKETS, LEAST = 5_000, 15
CONFIDENCE = 0.40123
"""No share of few baskets: mlxtend compares rounded ones."""
SIDES = ("antecedents", "consequents")
SAME = {
    "support": "support",
    "confidence": "confidence",
    "lift": "lift",
    "leverage": "leverage",
    "conviction": "conviction",
    "zhang": "zhangs_metric",
    "jaccard": "jaccard",
    "certainty": "certainty",
    "kulczynski": "kulczynski",
    "coverage": "antecedent support",
    "prevalence": "consequent support",
}
"""Measures of ours and their names in mlxtend."""


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> pa.ListArray:
    return pa.concat_arrays(draw_baskets(BASKETS, seed=3))


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory, lists: pa.ListArray) -> Iterator[PeerProcess]:
    folder: Path = tmp_path_factory.mktemp("peer")
    pq.write_table(pa.table({"items": lists}), folder / "baskets.parquet")
    program = PROGRAMS / "itemset_miners.py"
    with closing(PeerProcess(peer_python("rules"), program, folder / "peer.log")) as process:
        assert process.call("open_baskets", {"folder": str(folder / "baskets.parquet")}) == BASKETS
        yield process


@pytest.mark.parametrize(
    ("target", "mark"), [("s", 0), ("c", CLOSED), ("m", MAXIMAL), ("g", GENERATOR)], ids=["all", "closed", "max", "gen"]
)
@pytest.mark.parametrize("threads", [1, 2])
def test_the_sets_of_each_kind_are_those_of_pyfim(
    peer: PeerProcess, lists: pa.ListArray, target: str, mark: int, threads: int
) -> None:
    baskets = encode_baskets(pa.table({"items": lists}), lambda _: LEAST)
    lattice = link_subsets(search_itemsets(baskets, Limits(LEAST, 64, 1 << 40), threads=threads))
    marks_S, ids = mark_sets(lattice, baskets.basket_count), baskets.item_ids.to_pylist()
    ours = {
        frozenset(ids[rank] for rank in lattice.item_J[lattice.start_S[s] : lattice.start_S[s + 1]]): lattice.count_S[s]
        for s in np.flatnonzero((marks_S & mark) == mark)
    }
    theirs = peer.call("list_sets", {"target": target, "count": LEAST, "algorithm": "eclat"})
    assert len(theirs) == len(ours) > 500
    assert {frozenset(items): count for items, count in theirs} == ours


@pytest.fixture(scope="module")
def frame(spark: SparkSession, lists: pa.ListArray) -> DataFrame:
    return spark.createDataFrame([(items,) for items in lists.to_pylist()], "items array<int>")


def test_rules_and_their_measures_are_those_of_mlxtend(peer: PeerProcess, frame: DataFrame) -> None:
    settings = AssociationSettings(min_support=0.005, min_confidence=CONFIDENCE, max_consequent=9)
    with closing(mine_baskets(frame, settings)) as found:
        ours = {
            (tuple(sorted(row["antecedent"])), tuple(sorted(row["consequent"]))): row for row in found.rules.collect()
        }
    theirs: list[dict[str, Any]] = peer.call("measure_rules", {"support": 0.005, "confidence": CONFIDENCE})
    by_sides = {tuple(tuple(sorted(map(int, row[side]))) for side in SIDES): row for row in theirs}
    assert len(by_sides) == len(theirs) > 200
    assert set(by_sides) == set(ours)
    rows = [(ours[sides], by_sides[sides]) for sides in by_sides]
    names = ("basket_count", "antecedent_count", "consequent_count", "baskets")
    counts = Counts(*(np.array([row[name] for row, _ in rows], float) for name in names))
    assert set(SAME) <= set(MEASURES)
    for name, its in SAME.items():
        expected = np.array([np.nan if row[its] is None else row[its] for _, row in rows])
        assert measure(name, counts) == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True), name
