"""Baskets shared by several tasks: the tables are those of one task, whatever the settings, and memory decides."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kinfolk.association.mining import mine_baskets, update_baskets
from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import AssociationSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LINES = "basket_id string, item_id string, item_name string, source string"
WANTED = {"min_support": 0.03, "min_confidence": 0.3}


def draw_lines(count: int) -> list[tuple[str, str, str, str]]:
    """Baskets of two shops that sell different things, names that change, and lines that come twice."""
    draw, lines = random.Random(7), []
    for basket in range(count):
        shop = draw.choice(["north", "south"])
        popular = {f"i{n}" for n in range(12) if draw.random() < (0.5 if shop == "north" else 0.3) / (1 + n % 4)}
        popular |= {"i9"} if "i8" in popular else set()
        for item in sorted(popular | {f"x{draw.randrange(300)}"}):
            lines += [(f"b{basket}", item, f"{item} {draw.choice('AAB')}", shop)] * draw.choice([1, 1, 2])
    draw.shuffle(lines)
    return lines


@pytest.fixture(scope="module")
def lines(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(draw_lines(600), LINES)


@pytest.fixture(scope="module")
def lists(spark: SparkSession) -> DataFrame:
    draw = random.Random(8)
    rows = [([draw.randrange(20) for _ in range(draw.randrange(9))],) for _ in range(400)] + [([],), (None,)]
    return spark.createDataFrame(rows, "items array<int>")


def content(baskets: DataFrame, **settings: Any) -> tuple[list[str], list[str], list[str]]:
    """Itemsets, rules and what is known, sorted, every value of them."""
    with closing(mine_baskets(baskets, AssociationSettings(**WANTED | settings))) as found:
        assert found.report.tasks == (settings.get("tasks") or 1)
        known = found.state.known.drop("number", "parent").collect() if found.state else []
        parts = found.itemsets.collect(), found.rules.collect(), known
        assert len(parts[0]) == found.report.itemsets
        assert len(parts[1]) == found.report.rules > 0
        rows, rules, known = (sorted(map(repr, part)) for part in parts)
        return rows, rules, known


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tasks": 7, "min_support": 0.002, "max_length": 3},
        {"max_consequent": 3, "itemsets": "closed", "excluded_items": ("i1",)},
        {"holdout_share": 0.3, "confounder": "source"},
        {"top_itemsets": 40, "min_length": 2, "margin": 0.2},
        {"max_false_discovery_rate": 0.05, "min_confidence": 0.0},
        {"min_count": 30},
    ],
    ids=lambda settings: " ".join(settings) or "plain",
)
def test_several_tasks_find_what_one_finds(lines: DataFrame, settings: dict[str, Any]) -> None:
    shared = {"tasks": 3} | settings
    assert content(lines, **shared) == content(lines, **shared | {"tasks": 1})


def test_several_tasks_find_the_same_in_lists(lists: DataFrame) -> None:
    assert content(lists, tasks=4) == content(lists, tasks=1)


def test_more_tasks_than_baskets_and_no_baskets_at_all(spark: SparkSession, lines: DataFrame) -> None:
    few = lines.where("basket_id IN ('b1', 'b2', 'b3')")
    assert content(few, tasks=5, min_support=0.3) == content(few, tasks=1, min_support=0.3)
    with closing(mine_baskets(lines.limit(0), AssociationSettings(tasks=2))) as found:
        assert found.report.basket_count == found.itemsets.count() == found.rules.count() == 0


def test_a_night_goes_on_from_what_several_tasks_left(lines: DataFrame) -> None:
    settings = AssociationSettings(**WANTED, tasks=3, margin=0.3)
    before, came = (lines.where(f"basket_id {test} ('b7', 'b70', 'b72', 'b71')") for test in ("NOT IN", "IN"))
    with closing(mine_baskets(before, settings)) as known:
        assert known.state is not None
        night = update_baskets(known.state, came, None, settings)
        assert night is not None
        with closing(night):
            rows, rules = (sorted(map(repr, frame.collect())) for frame in (night.itemsets, night.rules))
    assert (rows, rules) == content(lines, margin=0.3)[:2]


def test_memory_decides_how_many_tasks_share_the_baskets(lines: DataFrame, tmp_path: Path) -> None:
    lines.write.parquet(str(tmp_path / "lines"))
    written = lines.sparkSession.read.parquet(str(tmp_path / "lines"))
    values = 3 * lines.count()
    settings = AssociationSettings(**WANTED, max_memory=64 * values // 3 + 1)
    with closing(mine_baskets(written, settings)) as found:
        assert found.report.tasks == 3
        rows = sorted(map(repr, found.itemsets.collect()))
    assert rows == content(written)[0]


def test_too_many_itemsets_stop_before_anything_is_written(lines: DataFrame, tmp_path: Path) -> None:
    settings = AssociationSettings(min_support=0.005, max_itemsets=50, tasks=2)
    with pytest.raises(DataError, match=r"association\.max_itemsets"):
        mine_baskets(lines, settings, scratch=str(tmp_path))
    assert not list(tmp_path.rglob("*.parquet"))


def test_raising_the_support_needs_one_task(lines: DataFrame) -> None:
    with pytest.raises(SettingsError, match=r"association\.tasks to 1"):
        mine_baskets(lines, AssociationSettings(raises_support=True, tasks=2))
