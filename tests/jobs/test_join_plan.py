"""What `kinfolk plan join` tells, and whether the job then does so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from tiny_items import make_clean_items, make_embeddings, put_rows

from kinfolk.cli import main
from kinfolk.jobs.join import JOB, describe_plan
from kinfolk.jobs.join_plan import plan_join
from kinfolk.run import run_job
from kinfolk.settings import Settings
from kinfolk.similarity.forecast import Estimate, Forecast, Memory
from kinfolk.tables.catalog import CLEAN_ITEMS, ITEM_EMBEDDINGS, JOIN_AUDITS
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeSettings = Callable[..., Settings]


def put_items(lake: str) -> None:
    images, texts = make_embeddings(400), make_embeddings(20, seed=1, modality="text")
    put_rows(lake, ITEM_EMBEDDINGS, pa.concat_tables([images, texts]))


def show(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["plan", "join", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_the_job_does_what_was_planned(spark: SparkSession, lake: str, make_settings: MakeSettings) -> None:
    put_items(lake)
    settings = make_settings(similarity={"threshold": 0.9, "neighbors": 3})
    plan = plan_join(settings)
    (told,) = plan.forecasts
    notes: list[str] = []
    run_job(JOB, settings, spark=spark, note=notes.append)
    (audit,) = Lake(lake).read(JOIN_AUDITS).to_pylist()
    assert (plan.items.items, plan.items.distinct) == (400, audit["distinct"])
    assert plan.excess is None
    assert told.pairs is not None
    assert told.pairs.low <= audit["pairs"] <= told.pairs.high
    assert (told.plan, told.tasks, told.threads) == (audit["plan"], audit["tasks"], 2)
    (line,) = [note for note in notes if note.startswith("  plan: ")]
    assert line == "  plan: exact, in one task with 2 threads"
    assert notes.index(line) < next(place for place, note in enumerate(notes) if "similar pairs" in note)


def test_the_line_of_the_log_says_all_that_is_expected() -> None:
    told = Forecast(
        "cells",
        neighbors=10,
        comparisons=1e9,
        pairs=Estimate(231_234.0, 189_900.0, 268_000.0, 150_000.0),
        seconds=12.3,
        memory=Memory(rows=1e9, neighbors=4e8, pairs=0.0, work=0.0),
        threads=2,
    )
    assert describe_plan(told) == (
        "  plan: cells, about 230,000 pairs (190,000-270,000), 12 s, 1.4 GB in one task with 2 threads"
    )


def test_the_command_shows_the_plans(lake: str, capsys: pytest.CaptureFixture[str]) -> None:
    put_items(lake)
    here = ("--set", f"lake.root={lake}", "--set", "similarity.recall=0.9")
    shown = show(capsys, *here)
    assert "exact: exact has the least work of the plans that reach a recall of 0.9" in shown
    assert "within its budgets of pairs and memory" in shown
    assert [line.split()[0] for line in shown.splitlines()[-2:]] == ["exact", "cells"]
    shown = show(capsys, *here, "--set", "similarity.max_pairs=20")
    assert "over its budget: about " in shown
    assert "similarity.max_pairs allows 20. Raise similarity.threshold" in shown


def test_the_command_speaks_json_and_counts_tasks(lake: str, capsys: pytest.CaptureFixture[str]) -> None:
    put_items(lake)
    here = ("--set", f"lake.root={lake}", "--set", "similarity.one_task_rows=100", "--set", "spark.master=local[3]")
    told: dict[str, Any] = json.loads(show(capsys, *here, "--json"))
    (forecast,) = told["forecasts"]
    assert (forecast["plan"], forecast["tasks"], forecast["threads"]) == ("exact", 12, 1)
    assert forecast["pairs"]["low"] <= forecast["pairs"]["value"] <= forecast["pairs"]["high"]
    assert told["reason"] == "similarity.recall is 1: all has to be found"


def test_a_join_within_blocks_is_planned_with_them(
    lake: str, make_settings: MakeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    put_items(lake)
    labels = {f"item{place:03d}": f"label{place % 5}" for place in range(390)}
    put_rows(lake, CLEAN_ITEMS, make_clean_items(labels))
    plan = plan_join(make_settings(similarity={"blocking": "label"}))
    assert (plan.items.items, plan.items.rejected) == (400, 10), "those that clean_items has not are in no block"
    assert plan.forecasts[0].comparisons < 400 * 400 / 2 / 4, "a fifth of all pairs, or a little more"
    shown = show(capsys, "--set", f"lake.root={lake}", "--set", "similarity.blocking=label")
    assert shown.startswith("400 items: ")
