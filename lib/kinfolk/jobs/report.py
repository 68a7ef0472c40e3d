"""Write the report: one HTML page that shows what the lake holds, made from one version of every table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinfolk.errors import SettingsError
from kinfolk.run import Job
from kinfolk.settings.report import PRINTED_SECTIONS
from kinfolk.tables.catalog import CATALOG, JOB_RUNS
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from kinfolk.report.sections.pairs import Explain, Reason, Value
    from kinfolk.run import Run
    from kinfolk.settings import JoinSettings, Settings

SHOWN_DIMENSIONS = 10
"""Dimensions of a similar pair that the report draws one by one."""


def report(run: Run) -> None:
    """Read every table that is there and put the page in its place."""
    from kinfolk.report.page import build_page, write_page
    from kinfolk.report.pinned import PinnedTables

    # Read beside the inputs: every run of every job changes job_runs, and durations alone call for no new page.
    durations = run.lake.snapshot(JOB_RUNS) if run.lake.exists(JOB_RUNS) else None
    tables = PinnedTables(run.lake, {**run.inputs, JOB_RUNS.name: durations})
    path = locate_page(run.settings)
    write_page(build_page(tables, run.settings, make_explain(run.settings.similarity)), path)
    run.note(f"  {path}")


def make_explain(settings: JoinSettings) -> Explain:
    """What tells the report why two items are similar under these settings."""
    from kinfolk.report.sections.pairs import Reason
    from kinfolk.similarity.explain import VectorExplanation, explain_pair

    def explain(left: Value, right: Value) -> Reason:
        why = explain_pair(left, right, settings)
        if isinstance(why, VectorExplanation):
            words = [why.summary, why.summarize_rest(SHOWN_DIMENSIONS)]
            return Reason(why.similarity, "; ".join(filter(None, words)), why.bars(SHOWN_DIMENSIONS))
        texts = [tuple((p.text, p.is_shared) for p in text) for text in (why.left_passages, why.right_passages)]
        return Reason(why.similarity, why.summary, why.bars(), *texts)

    return explain


def locate_page(settings: Settings) -> str:
    """Where the page is written. Raises SettingsError where the lake is remote and no local file is named."""
    path = settings.report.path or Lake(settings.lake.root).path("_reports/report.html")
    if "://" in path:
        raise SettingsError(
            f"the report is written to a local file, not to {path}; name one with --set report.path=FILE"
        )
    return path


JOB = Job(
    "report",
    report,
    optional_reads=tuple(table for table in CATALOG.values() if table is not JOB_RUNS),
    sections=("report", *PRINTED_SECTIONS),
    products=lambda settings: [locate_page(settings)],
)
