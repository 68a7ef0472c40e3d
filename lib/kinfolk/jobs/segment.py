"""Mine the baskets of each segment apart: of each country, store or month."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from kinfolk.run import Job
from kinfolk.tables.catalog import CLEAN_EVENTS, SEGMENT_ITEMSETS, SEGMENT_RULES

if TYPE_CHECKING:
    from kinfolk.association.segments import SegmentReport
    from kinfolk.run import Run

_MOST_NAMED = 5


def segment(run: Run) -> None:
    """Write segment_itemsets, then segment_rules.

    Both are computed before anything is written. A kill in between leaves each table whole, and the next run writes the
    second one.
    """
    from kinfolk.association.segments import mine_segments

    scratch = f"{run.folder('staging')}/segment"
    events, settings = run.read(CLEAN_EVENTS), run.settings.association
    with closing(mine_segments(events, settings, until=run.run_date, scratch=scratch)) as found:
        run.note(describe(found.segments))
        run.commit(
            *run.stage_together(
                lambda: run.stage(SEGMENT_ITEMSETS, found.itemsets), lambda: run.stage(SEGMENT_RULES, found.rules)
            )
        )


def describe(segments: list[SegmentReport]) -> str:
    """What was found in the largest segments, a line each, and how many others there are."""
    mined = sorted((one for one in segments if one.is_mined), key=lambda one: -one.basket_count)
    lines = [
        f"  {one.segment}: {one.basket_count:,} baskets, {one.itemsets:,} itemsets and {one.rules:,} rules"
        for one in mined[:_MOST_NAMED]
    ]
    others = [f"{len(mined) - _MOST_NAMED} other segments"] if len(mined) > _MOST_NAMED else []
    small = len(segments) - len(mined)
    left_out = [f"{small} with too few baskets (association.min_segment_baskets) left out"] if small else []
    rest = "; ".join(others + left_out)
    return "\n".join([*lines, f"  {rest}"] if rest else lines)


JOB = Job(
    "segment",
    segment,
    reads=(CLEAN_EVENTS,),
    writes=(SEGMENT_ITEMSETS, SEGMENT_RULES),
    sections=("association",),
    needs=("sources.events", "association.segment_by"),
    uses_run_date=lambda settings: settings.association.window_days is not None,
)
