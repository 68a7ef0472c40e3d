"""A job runs when something it depends on has changed, and only then; what was left unfinished is taken over."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from kinfolk.errors import DataError, EnvironmentProblem, LakeBusyError, LossLimitError, NotFoundError
from kinfolk.run import FileStamp, Job, Outcome, Run, run_job
from kinfolk.run.execution import explain
from kinfolk.run.records import read_records
from kinfolk.settings import Settings
from kinfolk.tables.catalog import (
    GROUP_EVENTS,
    ITEM_COPIES,
    ITEM_GROUPS,
    JOB_RUNS,
    REJECTED_ROWS,
    SIMILAR_PAIRS,
)
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeSettings = Callable[..., Settings]


def put_copies(lake: str, *pairs: tuple[str, str]) -> None:
    """Make item_copies hold these (item, representative) rows."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [{"item_id": i, "representative_id": r, "run_id": "given", "updated_at": now} for i, r in pairs]
    Lake(lake).replace_rows(ITEM_COPIES, pa.Table.from_pylist(rows, schema=ITEM_COPIES.arrow_schema()), "true")


def pair_copies(run: Run) -> None:
    """Pair each item with its representative; items called bad are turned away."""
    from pyspark.sql import functions as F

    copies = run.read(ITEM_COPIES)
    bad = F.when(F.col("item_id") == "bad", "is_bad")
    pairs = copies.select(
        F.col("representative_id").alias("left_id"),
        F.col("item_id").alias("right_id"),
        F.lit(run.settings.similarity.threshold).alias("similarity"),
        "item_id",
        bad.alias("reject_reason"),
        F.lit("says so").alias("reject_detail"),
    )
    run.sync(SIMILAR_PAIRS, pairs, origin=ITEM_COPIES)


PAIR = Job("pair", pair_copies, reads=(ITEM_COPIES,), writes=(SIMILAR_PAIRS,), sections=("similarity",))


@pytest.fixture
def settings(lake: str, make_settings: MakeSettings) -> Settings:
    put_copies(lake, ("b", "a"), ("c", "a"), ("bad", "a"))
    return make_settings(limits={"max_rejected_share": 0.5})


def go(settings: Settings, spark: SparkSession, job: Job = PAIR) -> Outcome:
    return run_job(job, settings, spark=spark, run_date=date(2026, 1, 31))


def test_a_job_writes_rows_and_rejects_and_records_both(spark: SparkSession, lake: str, settings: Settings) -> None:
    outcome = go(settings, spark)
    store = Lake(lake)
    assert {row["right_id"] for row in store.read(SIMILAR_PAIRS).to_pylist()} == {"b", "c"}
    (rejected,) = store.read(REJECTED_ROWS).to_pylist()
    assert (rejected["row_key"], rejected["reason"], rejected["detail"]) == ('{"item_id":"bad"}', "is_bad", "says so")
    (record,) = read_records(store, "pair")
    assert (record.run_id, record.status, record.run_date) == (outcome.run_id, "succeeded", date(2026, 1, 31))
    assert [(i["table_name"], i["rows"]) for i in record.inputs] == [("item_copies", 3)]
    assert [(o["table_name"], o["rows"], o["rejected"]) for o in record.outputs if o["rejected"]] == [
        ("similar_pairs", 2, 1)
    ]
    assert not os.path.exists(store.path(f"_staging/{outcome.run_id}"))


def test_skipped_until_something_it_depends_on_changes(
    spark: SparkSession, lake: str, settings: Settings, make_settings: MakeSettings
) -> None:
    store = Lake(lake)
    assert go(settings, spark).status == "succeeded"
    assert go(settings, spark).status == "skipped"
    other_section = settings.model_copy(update={"report": settings.report.model_copy(update={"title": "new"})})
    assert go(other_section, spark).status == "skipped"
    spark.sql(f"OPTIMIZE delta.`{store.path('similar_pairs')}`")
    assert go(settings, spark).status == "skipped"
    threshold = make_settings(limits={"max_rejected_share": 0.5}, similarity={"threshold": 0.5})
    assert go(threshold, spark).status == "succeeded"
    put_copies(lake, ("b", "a"), ("c", "a"), ("d", "a"))
    assert go(threshold, spark).status == "succeeded"
    assert {row["right_id"] for row in store.read(SIMILAR_PAIRS).to_pylist()} == {"b", "c", "d"}
    assert store.snapshot(REJECTED_ROWS).rows == 0


def test_a_table_altered_or_deleted_by_hand_is_made_again(spark: SparkSession, lake: str, settings: Settings) -> None:
    store = Lake(lake)
    go(settings, spark)
    store.open(SIMILAR_PAIRS).delete("right_id = 'b'")
    assert go(settings, spark).status == "succeeded"
    assert store.snapshot(SIMILAR_PAIRS).rows == 2
    for table in (SIMILAR_PAIRS, REJECTED_ROWS):
        import shutil

        shutil.rmtree(store.path(table.name))
        assert go(settings, spark).status == "succeeded"
        assert store.snapshot(table).rows > 0


def test_another_jobs_rejects_do_not_make_it_run_again(spark: SparkSession, settings: Settings) -> None:
    go(settings, spark)
    other = Job("other", pair_copies, reads=(ITEM_COPIES,), writes=(SIMILAR_PAIRS,), sections=("similarity",))
    go(settings, spark, other)
    assert go(settings, spark).status == "skipped"


def test_a_failed_run_is_taken_over_and_ends_like_a_clean_one(
    spark: SparkSession, lake: str, settings: Settings
) -> None:
    attempts: list[int] = []

    def fail_once(run: Run) -> None:
        attempts.append(run.attempt)
        if run.attempt == 1:
            raise RuntimeError("No space left on device")
        pair_copies(run)

    job = Job("pair", fail_once, reads=(ITEM_COPIES,), writes=(SIMILAR_PAIRS,))
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        go(settings, spark, job)
    (failed,) = read_records(Lake(lake), "pair")
    assert failed.status == "failed"
    assert "disk is full" in (failed.message or "")
    outcome = go(settings, spark, job)
    assert (outcome.run_id, attempts) == (failed.run_id, [1, 2])
    assert [r.status for r in read_records(Lake(lake), "pair")] == ["succeeded"]


def test_a_run_that_is_taken_over_compares_with_what_stood_before_its_first_attempt(
    spark: SparkSession, lake: str, settings: Settings
) -> None:
    """It writes down how many pairs there were before, and dies once after its commit."""
    must_fail = [False]

    def compare(run: Run) -> None:
        before = run.previous(SIMILAR_PAIRS)
        told = {"group_id": "all", "event": "grown", "items_before": before.count() if before else 0, "items_after": 9}
        schema = pa.schema([GROUP_EVENTS.arrow_schema().field(name) for name in (*told, "items", "from_group_ids")])
        row = told | {"items": 1, "from_group_ids": []}
        run.record(GROUP_EVENTS, pa.Table.from_pylist([row], schema=schema))
        pair_copies(run)
        if must_fail[0]:
            raise DataError("after the commit")

    job = replace(PAIR, body=compare, writes=(SIMILAR_PAIRS, GROUP_EVENTS))
    first = go(settings, spark, job)
    put_copies(lake, ("b", "a"), ("c", "a"), ("d", "a"))
    must_fail[0] = True
    with pytest.raises(DataError, match="after the commit"):
        go(settings, spark, job)
    must_fail[0] = False
    second = go(settings, spark, job)
    events = Lake(lake).read(GROUP_EVENTS).to_pylist()
    assert {(e["join_run_id"], e["items_before"]) for e in events} == {(first.run_id, 0), (second.run_id, 2)}
    assert len(events) == 2
    assert {event["run_id"] for event in events} == {first.run_id, second.run_id}


def test_losing_too_much_commits_nothing(spark: SparkSession, lake: str, make_settings: MakeSettings) -> None:
    put_copies(lake, ("b", "a"), ("bad", "a"))
    with pytest.raises(LossLimitError, match="is_bad 1"):
        go(make_settings(), spark)
    store = Lake(lake)
    assert store.snapshot(SIMILAR_PAIRS).rows == 0
    assert not store.exists(REJECTED_ROWS)


def test_a_second_table_that_loses_too_much_holds_back_the_first(
    spark: SparkSession, lake: str, make_settings: MakeSettings
) -> None:
    def write_two(run: Run) -> None:
        from pyspark.sql import functions as F

        copies = run.read(ITEM_COPIES)
        pairs = copies.selectExpr("representative_id AS left_id", "item_id AS right_id", "1D AS similarity")
        about = ("2L AS group_size", "1D AS weakest_link", "1 AS diameter")
        groups = copies.selectExpr("item_id", "representative_id AS group_id", *about)
        turned_away = groups.withColumn("reject_reason", F.lit("odd"))
        run.commit(run.stage(SIMILAR_PAIRS, pairs), run.stage(ITEM_GROUPS, turned_away))

    put_copies(lake, ("b", "a"))
    job = Job("two", write_two, reads=(ITEM_COPIES,), writes=(SIMILAR_PAIRS, ITEM_GROUPS))
    with pytest.raises(LossLimitError, match="odd 1"):
        go(make_settings(), spark, job)
    assert Lake(lake).snapshot(SIMILAR_PAIRS).rows == 0


@pytest.mark.parametrize("guards_rows", [True, False])
def test_deleting_too_much_of_a_guarded_table_commits_nothing(
    spark: SparkSession, lake: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, guards_rows: bool
) -> None:
    monkeypatch.setitem(globals(), "SIMILAR_PAIRS", replace(SIMILAR_PAIRS, guards_rows=guards_rows))
    put_copies(lake, *((f"x{i}", "a") for i in range(6)))
    go(settings, spark)
    put_copies(lake, ("x1", "a"), ("x2", "a"))
    if guards_rows:
        with pytest.raises(LossLimitError, match="4 of its 6 rows would be deleted"):
            go(settings, spark)
    else:
        go(settings, spark)
    assert Lake(lake).snapshot(SIMILAR_PAIRS).rows == (6 if guards_rows else 2)


def test_a_lost_row_stops_the_job(spark: SparkSession, lake: str, settings: Settings) -> None:
    def lose_one(run: Run) -> None:
        pairs = run.read(ITEM_COPIES).where("item_id <> 'b'")
        frame = pairs.selectExpr("representative_id AS left_id", "item_id AS right_id", "1D AS similarity")
        run.sync(SIMILAR_PAIRS, frame, rows_in=run.rows(ITEM_COPIES))

    job = Job("pair", lose_one, reads=(ITEM_COPIES,), writes=(SIMILAR_PAIRS,))
    with pytest.raises(DataError, match=r"3 rows went in.*2 came out.*1 lost"):
        go(settings, spark, job)
    assert Lake(lake).snapshot(SIMILAR_PAIRS).rows == 0


def test_inputs_stay_pinned_while_others_write(spark: SparkSession, lake: str, settings: Settings) -> None:
    def write_in_between(run: Run) -> None:
        put_copies(lake, ("late", "a"))
        pair_copies(run)

    go(settings, spark, Job("pair", write_in_between, reads=(ITEM_COPIES,), writes=(SIMILAR_PAIRS,)))
    assert {row["right_id"] for row in Lake(lake).read(SIMILAR_PAIRS).to_pylist()} == {"b", "c"}


def test_changed_files_and_missing_products_make_it_run(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    page, data = tmp_path / "page.html", tmp_path / "data.csv"
    data.write_text("1")
    job = Job(
        "pages",
        lambda run: page.write_text("page") and None,
        files=lambda s: [FileStamp(str(data), data.stat().st_size, data.stat().st_mtime_ns)],
        products=lambda s: [str(page)],
    )
    assert [go(settings, spark, job).status for _ in range(2)] == ["succeeded", "skipped"]
    page.unlink()
    assert [go(settings, spark, job).status for _ in range(2)] == ["succeeded", "skipped"]
    data.write_text("12")
    assert [go(settings, spark, job).status for _ in range(2)] == ["succeeded", "skipped"]


def test_the_run_date_counts_only_where_it_is_used(spark: SparkSession, settings: Settings) -> None:
    def statuses(job: Job) -> list[str]:
        return [run_job(job, settings, spark=spark, run_date=date(2026, 1, day)).status for day in (1, 2)]

    assert statuses(Job("a", lambda run: None)) == ["succeeded", "skipped"]
    assert statuses(Job("b", lambda run: None, uses_run_date=lambda s: True)) == ["succeeded", "succeeded"]


def test_a_missing_input_says_what_to_run(spark: SparkSession, make_settings: MakeSettings) -> None:
    with pytest.raises(NotFoundError, match=r"no table item_copies.*run the job that writes it"):
        go(make_settings(), spark)


def test_a_second_run_of_a_job_is_told_to_wait(spark: SparkSession, lake: str, settings: Settings) -> None:
    go(settings, spark)
    with open(Lake(lake).path("_locks/pair"), "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LakeBusyError, match="another run of pair"):
            go(settings, spark)


def test_a_lake_that_cannot_be_written_is_an_environment_problem(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings.model_validate({"lake": {"root": str(tmp_path / "file" / "lake")}})
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        go(settings, spark, Job("a", lambda run: None))


def test_a_defect_keeps_its_trace_beside_the_tables(spark: SparkSession, lake: str, settings: Settings) -> None:
    with pytest.raises(ZeroDivisionError):
        go(settings, spark, Job("a", lambda run: print(1 / 0)))
    (record,) = read_records(Lake(lake), "a")
    assert "ZeroDivisionError" in (record.message or "")
    assert "1 / 0" in Path(Lake(lake).path(f"_logs/{record.run_id}.txt")).read_text()


def test_machine_problems_are_told_from_defects() -> None:
    assert isinstance(explain(RuntimeError("... No space left on device ...")), EnvironmentProblem)
    assert isinstance(explain(RuntimeError("java.lang.OutOfMemoryError: heap")), EnvironmentProblem)
    defect = RuntimeError("odd")
    assert explain(defect) is defect


def test_records_of_other_runs_stay(spark: SparkSession, lake: str, settings: Settings) -> None:
    for name in ("a", "b"):
        go(settings, spark, Job(name, lambda run: None))
    assert sorted(Lake(lake).read(JOB_RUNS, ["job"]).column("job").to_pylist()) == ["a", "b"]
