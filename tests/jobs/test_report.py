"""The report job over a real lake."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_lake import put_all, put_events, put_job_runs

from kinfolk.errors import SettingsError
from kinfolk.jobs.report import JOB
from kinfolk.run import run_job
from kinfolk.settings import Settings

TODAY = dt.date(2026, 3, 10)


def run(settings: Settings) -> str:
    return run_job(JOB, settings, run_date=TODAY).status


def test_page_lands_in_the_lake_and_a_second_run_is_skipped(lake: str, make_settings: Callable[..., Settings]) -> None:
    put_all(lake)
    settings = make_settings()
    assert run(settings) == "succeeded"
    page = Path(lake, "_reports", "report.html")
    first = page.read_text()
    assert "22 s" in first
    assert run(settings) == "skipped"
    page.unlink()
    assert run(settings) == "succeeded"
    assert page.read_text() == first


@pytest.mark.parametrize(
    "changed", [{"report": {"title": "Other"}}, {"similarity": {"threshold": 0.5}}, {"report": {"credits": ["me"]}}]
)
def test_a_changed_setting_that_shows_makes_a_new_page(
    lake: str, make_settings: Callable[..., Settings], changed: dict[str, Any]
) -> None:
    put_events(lake)
    run(make_settings())
    assert run(make_settings(**changed)) == "succeeded"


def test_a_changed_table_makes_a_new_page_and_a_run_of_a_job_does_not(
    lake: str, make_settings: Callable[..., Settings]
) -> None:
    put_events(lake)
    run(make_settings())
    put_events(lake)
    assert run(make_settings()) == "succeeded"
    assert run(make_settings(learning={"epochs": 7})) == "succeeded"
    assert run(make_settings(learning={"epochs": 7}, spark={"shuffle_partitions": 9})) == "skipped"


def test_durations_alone_make_no_new_page(lake: str, make_settings: Callable[..., Settings]) -> None:
    put_events(lake)
    put_job_runs(lake)
    assert run(make_settings()) == "succeeded"
    assert run(make_settings()) == "skipped"


def test_the_page_can_be_put_elsewhere(lake: str, make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    put_events(lake)
    target = tmp_path / "elsewhere" / "page.html"
    assert run(make_settings(report={"path": str(target)})) == "succeeded"
    assert "<!doctype html>" in target.read_text()


def test_an_empty_lake_gives_a_page(lake: str, make_settings: Callable[..., Settings]) -> None:
    assert run(make_settings()) == "succeeded"
    assert "The lake is empty so far" in Path(lake, "_reports", "report.html").read_text()


def test_a_page_on_a_remote_path_is_refused(lake: str, make_settings: Callable[..., Settings]) -> None:
    put_events(lake)
    with pytest.raises(SettingsError, match=r"report\.path"):
        run(make_settings(report={"path": "s3a://bucket/report.html"}))
