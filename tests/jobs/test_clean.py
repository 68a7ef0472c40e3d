"""The job clean: every raw row ends in one place, and a change overnight does not empty the lake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kinfolk.cleaning import clean_events
from kinfolk.errors import LossLimitError
from kinfolk.jobs import clean, ingest
from kinfolk.run import Job, Outcome, run_job
from kinfolk.samples import fetch_samples
from kinfolk.samples.generators import write_planted_lake
from kinfolk.settings import Settings, load_settings
from kinfolk.sources import list_source, plan_files, read_events
from kinfolk.tables.catalog import CLEAN_EVENTS, CLEAN_ITEMS, REJECTED_ROWS
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeSettings = Callable[..., Settings]
DEMO = Path(__file__).parents[2] / "conf/demo.yaml"


def run(job: Job, settings: Settings, spark: SparkSession) -> Outcome:
    return run_job(job, settings, run_date=date(2026, 1, 1), spark=spark, note=lambda message: None)


def test_the_planted_rows_stay_and_the_planted_faults_go(
    tmp_path: Path, make_settings: MakeSettings, spark: SparkSession
) -> None:
    planted = write_planted_lake(tmp_path / "planted", seed=0, subjects=30, baskets=100)
    settings = make_settings(sources=planted.sources.model_dump(), cleaning=planted.cleaning.model_dump())
    lake = Lake(settings.lake.root)
    run(ingest.JOB, settings, spark)
    run(clean.JOB, settings, spark)
    assert sorted(lake.read(CLEAN_ITEMS)["item_id"].to_pylist()) == planted.items.good_ids
    baskets: dict[str, set[str]] = {}
    for row in lake.read(CLEAN_EVENTS, columns=["basket_id", "item_id"]).to_pylist():
        baskets.setdefault(row["basket_id"], set()).add(row["item_id"])
    assert baskets == planted.events.contents
    assert lake.snapshot(CLEAN_EVENTS).rows == planted.events.good_rows
    rejected = lake.read(REJECTED_ROWS).to_pylist()
    reasons = {name: Counter(r["reason"] for r in rejected if r["target_table"] == name) for name in _NAMES}
    assert reasons["clean_events"] == planted.events.faults
    assert reasons["clean_items"] == Counter(planted.items.faults.values())
    assert run(clean.JOB, settings, spark).status == "skipped"


_NAMES = ("clean_items", "clean_events")


def test_a_date_format_that_changed_overnight_commits_nothing(
    tmp_path: Path, make_settings: MakeSettings, spark: SparkSession
) -> None:
    path = tmp_path / "sales.csv"
    source = {"name": "shop", "path": str(path), "basket": "basket", "item": "item", "time": "time"}
    settings = make_settings(sources={"events": [source]}, cleaning={"time_formats": ["yyyy-MM-dd"]})
    lake = Lake(settings.lake.root)

    def write(*times: str) -> None:
        path.write_text("basket,item,time\n" + "".join(f"B{n},pen,{time}\n" for n, time in enumerate(times)))
        run(ingest.JOB, settings, spark)

    write("2026-01-01", "2026-01-02", "2026-01-03")
    run(clean.JOB, settings, spark)
    before = lake.read(CLEAN_EVENTS).to_pylist()
    versions = [lake.snapshot(table).version for table in (CLEAN_ITEMS, CLEAN_EVENTS)]
    write("01.01.2026", "02.01.2026", "2026-01-03")
    with pytest.raises(LossLimitError, match=r"clean_events: 2 of 3 rows would be rejected .* time_invalid 2"):
        run(clean.JOB, settings, spark)
    assert [lake.snapshot(table).version for table in (CLEAN_ITEMS, CLEAN_EVENTS)] == versions
    assert lake.read(CLEAN_EVENTS).to_pylist() == before
    assert lake.read(REJECTED_ROWS).num_rows == 0


@pytest.mark.demo
def test_so_many_rows_of_online_retail_remain(spark: SparkSession) -> None:
    fetch_samples()
    settings = load_settings(DEMO)
    sources = settings.sources.events
    plan = spark.createDataFrame(plan_files([(source, list_source(source)) for source in sources]))
    judged = clean_events(read_events(plan, sources, settings.ingest), sources, settings.cleaning)
    counted = {row["reject_reason"]: row["count"] for row in judged.groupBy("reject_reason").count().collect()}
    assert counted.pop(None) == 1_007_913
    assert sum(counted.values()) == 1_067_371 - 1_007_913
    assert counted["cancelled"] == 19_494
    assert counted.keys() == {"cancelled", "quantity_not_positive", "price_not_positive", "duplicate"}
