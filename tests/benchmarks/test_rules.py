"""The benchmark of association rules: its goals, its data, and that a wrong result does not pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from . import rules
from ._rules_chance import lines_of, report
from ._rules_data import write_lists
from ._rules_sides import (
    as_numbers,
    derive_arrays,
    require_same,
    require_sizes,
    settings_of,
    sizes_of,
    total,
)
from .harness import WrongResult

GOALS = {
    **{f"rules.vs_mllib.t10i4d100k.{support}": (40, "higher") for support in (0.01, 0.005, 0.002, 0.001)},
    **{f"rules.vs_mllib.online_retail.{support}": (40, "higher") for support in (0.01, 0.005, 0.002)},
    "rules.vs_mllib.t10i4d1m.0.005": (100, "higher"),
    **{f"rules.kernel_vs_pyfim.t10i4d100k.{support}": (0.35, "lower") for support in (0.01, 0.005, 0.002, 0.001)},
    **{f"rules.kernel_vs_pyfim.online_retail.{support}": (0.7, "lower") for support in (0.01, 0.005, 0.002)},
    "rules.dense_vs_pyfim.all.0.3": (1.0, "lower"),
    "rules.dense_vs_pyfim.all.0.2": (1.2, "lower"),
    "rules.dense_vs_pyfim.closed.0.3": (1.0, "lower"),
    "rules.dense_vs_pyfim.closed.0.2": (1.0, "lower"),
    "rules.closed_vs_pyfim.online_retail.0.002": (0.5, "lower"),
    "rules.kernel_rules_vs_pyfim.t10i4d100k.0.001": (5, "higher"),
    "rules.kernel_rules_vs_pyfim.online_retail.0.002": (5, "higher"),
    "rules.t10i4d10m_vs_best_peer": (1, "higher"),
    "rules.t10i4d10m_vs_single_process": (0.75, "higher"),
    "rules.fixed_seconds": (6, "lower"),
    "rules.growth_on_doubling": (2.1, "lower"),
    "rules.incremental_share": (0.1, "lower"),
    "rules.false_discovery_rate": (0.081, "lower"),
    "rules.power": (0.9, "higher"),
}


def test_the_benchmark_asks_what_was_promised() -> None:
    goals = {goal.key: (goal.value, goal.better) for case in rules.CASES for goal in case.goals}
    assert {key: goal for key, goal in goals.items() if goal[0] is not None} == GOALS


@pytest.fixture
def mined(tmp_path: Path) -> tuple[rules.Report, Path]:
    """Two sets and a rule, as we write them and as MLlib does."""
    ours = pa.table({"items": [["a"], ["a", "b"]], "basket_count": [3, 2]})
    sides = {"antecedent": [["a"]], "consequent": [["b"]], "confidence": [2 / 3]}
    for name, table in (("sets", ours), ("sides", pa.table(sides))):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    for name, table in (("itemsets", ours.rename_columns(["items", "freq"])), ("rules", pa.table(sides))):
        (tmp_path / "mllib" / name).mkdir(parents=True)
        pq.write_table(table, tmp_path / "mllib" / name / "part.parquet")
    files = {"itemsets": str(tmp_path / "sets.parquet"), "rules": str(tmp_path / "sides.parquet")}
    return rules.Report(files, 5, 2, 2, 2, 2, 2, 1, {}), tmp_path / "mllib"


def test_equal_sets_and_rules_pass_and_others_do_not(mined: tuple[rules.Report, Path]) -> None:
    report, theirs = mined
    require_same(report, theirs)
    wrong_count = pa.table({"items": [["a"], ["b", "a"]], "freq": [3, 1]})
    pq.write_table(wrong_count, theirs / "itemsets" / "part.parquet")
    with pytest.raises(WrongResult, match="the 2 itemsets are not those of MLlib"):
        require_same(report, theirs)
    pq.write_table(wrong_count.set_column(1, "freq", [[3, 2]]), theirs / "itemsets" / "part.parquet")
    require_same(report, theirs)
    sides = {"antecedent": [["b"]], "consequent": [["a"]], "confidence": [2 / 3]}
    pq.write_table(pa.table(sides), theirs / "rules" / "part.parquet")
    with pytest.raises(WrongResult, match="the 1 rules are not the 1 of MLlib"):
        require_same(report, theirs)
    require_sizes({"1": 2}, {"1": 2})
    with pytest.raises(WrongResult, match="sets by size"):
        require_sizes({"1": 2}, {"1": 2, "2": 1})


def test_kernels_find_what_there_is_in_arrays(tmp_path: Path) -> None:
    write_lists(tmp_path, [pa.array([["a", "b"], ["a", "b", "c"]]), pa.array([["c"], []], pa.list_(pa.string()))])
    table = as_numbers(pq.read_table(tmp_path)["items"])
    assert table["items"].type == pa.list_(pa.int32())
    assert sizes_of(table, 0.5) == {"1": 3, "2": 1}
    assert total(derive_arrays(table, 0.5)) == 2


def test_planted_rules_are_reported_and_chance_is_not() -> None:
    random = np.random.default_rng(0)
    both = np.arange(300)
    columns = [random.choice(10_000, 600, replace=False) for _ in range(6)] + [both, both]
    found = list(report(lines_of(columns), settings_of(0.005).model_copy(update={
        "min_confidence": 0.0, "max_false_discovery_rate": 0.05, "max_length": 10})))  # fmt: skip
    assert set(found) == {("6", "7"), ("7", "6")}
