"""What a night costs: one in a hundred baskets came, or went again, of ten million."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from kinfolk.association.mining import MiningResult, mine_baskets, update_baskets
from kinfolk.settings import AssociationSettings

from ._rules_costs import MOST_BASKETS, SMALL_BASKETS, SUPPORT
from ._rules_data import read_lists, t10i4, write_lists
from ._rules_sides import open_session, read_sets, read_sides, settings_of
from .harness import Bench, Case, Goal, Reading, WrongResult
from .harness.measuring import measure

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SHARE, RUNS = 0.01, 3
INCREMENTAL = "rules.incremental_share"


def incremental_share(bench: Bench) -> Mapping[str, Reading]:
    """Measure a night beside mining everything, what a small table takes taken off both."""
    spark = bench.keep(open_session())
    before, came = split(bench)
    whole, settings = t10i4(bench, MOST_BASKETS), settings_of(SUPPORT).model_copy(update={"margin": 0.1})
    small = t10i4(bench, SMALL_BASKETS)

    def mine(folder: Path, name: str) -> MiningResult:
        return mine_baskets(read(spark, folder), settings, scratch=scratch(bench, name))

    known = mine(before, "before")
    assert known.state is not None

    def night() -> MiningResult:
        return update(read(spark, came), None, known, settings, scratch(bench, "night"))

    small_known = mine(small, "small-before")

    def small_night() -> MiningResult:
        return update(read(spark, small).limit(0), None, small_known, settings, scratch(bench, "small-night"))

    everything, tonight = mine(whole, "everything"), night()
    require_equal(everything, tonight, "a night finds other itemsets or rules than mining everything")
    back = update(read(spark, came).limit(0), read(spark, came), tonight, settings, scratch(bench, "back"))
    require_equal(known, back, "what came and went again leaves other itemsets or rules than stood before")
    full, fixed, change, fixed_change = (
        median(measure(run)[1].wall for _ in range(RUNS))
        for run in (lambda: mine(whole, "again"), lambda: mine(small, "small"), night, small_night)
    )
    note = f"night {change:.2f} s less {fixed_change:.2f}, everything {full:.2f} s less {fixed:.2f}, medians of {RUNS}"
    return {INCREMENTAL: Reading((change - fixed_change) / (full - fixed), note)}


def split(bench: Bench) -> tuple[Path, Path]:
    """All baskets but the last hundredth, and these."""
    came = round(SHARE * MOST_BASKETS)

    def make(folder: Path) -> None:
        lists = read_lists(t10i4(bench, MOST_BASKETS))
        for name, start, stop in (("before", 0, len(lists) - came), ("came", len(lists) - came, len(lists))):
            (folder / name).mkdir()
            write_lists(folder / name, lists.slice(start, stop - start).chunks)

    made = bench.data(f"t10i4-{MOST_BASKETS}-night", make)
    return made / "before", made / "came"


def read(spark: SparkSession, folder: Path) -> DataFrame:
    """The baskets of a folder."""
    return spark.read.parquet(str(folder))


def scratch(bench: Bench, name: str) -> str:
    """An empty folder for what a run finds."""
    folder = bench.folder / "nights" / name
    shutil.rmtree(folder, ignore_errors=True)
    return str(folder)


def update(
    came: DataFrame, went: DataFrame | None, known: MiningResult, settings: AssociationSettings, folder: str
) -> MiningResult:
    """Bring what is known up to date; raises WrongResult where everything would have to be mined again."""
    assert known.state is not None
    found = update_baskets(known.state, came, went, settings, scratch=folder)
    if found is None:
        raise WrongResult("everything has to be mined again after one basket in a hundred came or went")
    return found


def require_equal(one: MiningResult, other: MiningResult, words: str) -> None:
    """Raise WrongResult unless both found the same."""
    sets = [read_sets(Path(found.report.files["itemsets"]), "items", "basket_count") for found in (one, other)]
    rules = [read_sides(Path(found.report.files["rules"])) for found in (one, other)]
    same = [pq.read_table(found.report.files["rules"]).num_rows for found in (one, other)]
    if sets[0] != sets[1] or rules[0] != rules[1] or same[0] != same[1]:
        raise WrongResult(words)


NIGHTS = [
    Case(
        (Goal(INCREMENTAL, 0.1, better="lower", unit="share"),),
        "mining everything",
        incremental_share,
        seconds=120,
    ),
]
