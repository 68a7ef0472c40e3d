"""Recommend items to customers, or for baskets, by the rules of association_rules."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from kinfolk.run import Job
from kinfolk.tables.catalog import ASSOCIATION_RULES, CLEAN_EVENTS, ITEM_RECOMMENDATIONS

if TYPE_CHECKING:
    from kinfolk.run import Run


def recommend(run: Run) -> None:
    """Write item_recommendations."""
    from kinfolk.association.recommendation import group_subjects, recommend_items

    settings = run.settings.recommendation
    events = run.read(CLEAN_EVENTS)
    subjects = group_subjects(events, settings)
    # A lake from before there were categories has none.
    categories = events if "category" in events.columns else None
    scratch = f"{run.folder('staging')}/recommend"
    recommended = recommend_items(
        subjects, run.read(ASSOCIATION_RULES), settings, categories=categories, scratch=scratch
    )
    with closing(recommended) as found:
        run.note(f"  by {found.rules:,} rules to each {settings.subject}")
        if found.left_out:
            run.note(f"  {found.left_out:,} rules lead to categories, or from unknown ones, and recommend nothing")
        run.sync(ITEM_RECOMMENDATIONS, found.items)


JOB = Job(
    "recommend",
    recommend,
    reads=(CLEAN_EVENTS, ASSOCIATION_RULES),
    writes=(ITEM_RECOMMENDATIONS,),
    sections=("recommendation",),
    needs=("sources.events",),
)
