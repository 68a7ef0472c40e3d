"""Search the histories of customers in clean_events for what is bought later."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from kinfolk.run import Job
from kinfolk.run.progress import format_seconds
from kinfolk.tables.catalog import CLEAN_EVENTS, FREQUENT_SEQUENCES

if TYPE_CHECKING:
    from kinfolk.association.sequences.task import SequenceReport
    from kinfolk.run import Run


def sequence(run: Run) -> None:
    """Write frequent_sequences."""
    from kinfolk.association.sequences.mining import mine_sequences

    scratch = f"{run.folder('staging')}/sequence"
    mined = mine_sequences(run.read(CLEAN_EVENTS), run.settings.sequence, until=run.run_date, scratch=scratch)
    with closing(mined) as found:
        run.note(describe(found.report))
        run.sync(FREQUENT_SEQUENCES, found.sequences)


def describe(report: SequenceReport) -> str:
    """One line of progress."""
    return (
        f"  {report.customer_count:,} customers, {report.elements:,} purchases of {report.items:,} frequent items; "
        f"{report.sequences:,} sequences in {format_seconds(sum(report.seconds.values()))}"
    )


JOB = Job(
    "sequence",
    sequence,
    reads=(CLEAN_EVENTS,),
    writes=(FREQUENT_SEQUENCES,),
    sections=("sequence",),
    needs=("sources.events", "sources.events.customer", "sources.events.time"),
    uses_run_date=lambda settings: settings.sequence.window_days is not None,
)
