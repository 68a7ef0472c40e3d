"""Find the itemsets of clean_events that bring in the most money."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING

from kinfolk.run import Job
from kinfolk.run.progress import format_seconds
from kinfolk.tables.catalog import CLEAN_EVENTS, VALUABLE_ITEMSETS

if TYPE_CHECKING:
    from kinfolk.association.utility.task import ValueReport
    from kinfolk.run import Run


def value(run: Run) -> None:
    """Write valuable_itemsets."""
    from kinfolk.association.utility.mining import mine_values

    scratch = f"{run.folder('staging')}/value"
    mined = mine_values(run.read(CLEAN_EVENTS), run.settings.utility, until=run.run_date, scratch=scratch)
    with closing(mined) as found:
        run.note(describe(found.report))
        run.sync(VALUABLE_ITEMSETS, found.itemsets)


def describe(report: ValueReport) -> str:
    """One line of progress."""
    revenue, least = Decimal(report.revenue), Decimal(report.least)
    left_out = f"; {report.left_out:,} lines without a price left out" if report.left_out else ""
    return (
        f"  {report.basket_count:,} baskets bring in {revenue:,.2f}, and {report.itemsets:,} itemsets at least "
        f"{least:,.2f} each, found in {format_seconds(sum(report.seconds.values()))}{left_out}"
    )


JOB = Job(
    "value",
    value,
    reads=(CLEAN_EVENTS,),
    writes=(VALUABLE_ITEMSETS,),
    sections=("utility",),
    needs=("sources.events", "sources.events.price"),
    uses_run_date=lambda settings: settings.utility.window_days is not None,
)
