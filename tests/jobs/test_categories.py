"""Categories and segments on their way from a file to rules and recommendations."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kinfolk.errors import DataError
from kinfolk.jobs import clean, ingest, mine, recommend
from kinfolk.jobs.mine_plan import plan_mine
from kinfolk.run import run_job
from kinfolk.settings import Settings
from kinfolk.tables.catalog import ASSOCIATION_RULES, CLEAN_EVENTS, FREQUENT_ITEMSETS, ITEM_RECOMMENDATIONS
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TODAY = dt.date(2026, 3, 10)
KINDS = {"milk": "Food > Dairy", "curd": "Food > Dairy", "brie": "Food > Dairy", "jam": "", "rusk": "Food > Bakery"}


def write_shop(folder: Path) -> Path:
    """Whoever buys something of the dairy buys jam, each another thing; one customer lacks the jam."""
    rows = [f"b{n},c{n},{item}" for n in range(60) for item in (["milk", "curd", "brie"][n % 3], "jam")]
    rows += [f"r{n},r{n},rusk" for n in range(20)] + ["new,new,brie", "new,new,milk"]
    lines = [
        f"{row},{KINDS[row.rpartition(',')[2]]},{'north' if number % 2 else ' south '}"
        for number, row in enumerate(rows)
    ]
    # Somebody put the milk elsewhere, once.
    lines.append("b0,c0,milk,Drinks,south")
    path = folder / "shop.csv"
    path.write_text("basket,customer,item,group,shop\n" + "\n".join(lines) + "\n")
    return path


def test_categories_of_a_file_become_rules_and_recommend_items(
    tmp_path: Path, spark: SparkSession, make_settings: Callable[..., Settings]
) -> None:
    named = {name: name for name in ("basket", "customer", "item")}
    source = {"name": "shop", "path": str(write_shop(tmp_path)), "category": "group", "segment": "shop"} | named
    wanted = {"categories": True, "min_count": 10, "min_confidence": 0.9, "confounder": "segment"}
    settings = make_settings(sources={"events": [source]}, association=wanted, recommendation={"min_lift": 0})
    notes: list[str] = []
    for job in (ingest.JOB, clean.JOB, mine.JOB, recommend.JOB):
        assert run_job(job, settings, run_date=TODAY, spark=spark, note=notes.append).status == "succeeded"
    lake = Lake(settings.lake.root)

    events = lake.read(CLEAN_EVENTS, ["item_id", "category", "segment"]).to_pylist()
    assert {(row["item_id"], row["category"] or "") for row in events} == {*KINDS.items(), ("milk", "Drinks")}
    assert {row["segment"] for row in events} == {"north", "south"}
    assert "  1 items have several categories; each counts in its commonest" in notes

    itemsets = {row["itemset_id"]: row for row in lake.read(FREQUENT_ITEMSETS).to_pylist()}
    assert itemsets['["category:Food"]']["basket_count"] == 81
    assert itemsets['["category:Food > Dairy","jam"]']["basket_count"] == 60
    assert itemsets['["category:Food > Dairy","jam"]']["item_names"] == ["Dairy", "jam"]
    assert not any("Drinks" in itemset or ("milk" in itemset and "Dairy" in itemset) for itemset in itemsets)
    assert plan_mine(settings).forecast.itemsets == len(itemsets)

    rules = {(row["antecedent_id"], row["consequent_id"]) for row in lake.read(ASSOCIATION_RULES).to_pylist()}
    assert ('["category:Food > Dairy"]', '["jam"]') in rules
    assert ('["jam"]', '["category:Food > Dairy"]') in rules
    told = {row["subject_id"]: row for row in lake.read(ITEM_RECOMMENDATIONS).to_pylist()}
    assert (told["new"]["item_id"], told["new"]["antecedent_names"]) == ("jam", ["Dairy"])
    assert set(told) == {"new"}, "all others hold the jam or nothing of the dairy, and no category is recommended"
    led = sum("category" in after for _, after in rules)
    assert f"  {led} rules lead to categories, or from unknown ones, and recommend nothing" in notes


def test_a_source_without_categories_is_told(
    tmp_path: Path, spark: SparkSession, make_settings: Callable[..., Settings]
) -> None:
    source = {"name": "shop", "path": str(write_shop(tmp_path)), "basket": "basket", "item": "item"}
    settings = make_settings(sources={"events": [source]}, association={"categories": True})
    for job in (ingest.JOB, clean.JOB):
        run_job(job, settings, run_date=TODAY, spark=spark)
    for attempt in (lambda: run_job(mine.JOB, settings, run_date=TODAY, spark=spark), lambda: plan_mine(settings)):
        with pytest.raises(DataError, match="no item has a category; name the column of categories of the source"):
            attempt()
