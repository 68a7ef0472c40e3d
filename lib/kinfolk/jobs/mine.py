"""Mine the baskets of clean_events for frequent itemsets and association rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinfolk.run import Job
from kinfolk.tables.catalog import ASSOCIATION_RULES, CLEAN_EVENTS, FREQUENT_ITEMSETS

if TYPE_CHECKING:
    from kinfolk.run import Run


def mine(run: Run) -> None:
    """Write frequent_itemsets, then association_rules; a kill in between leaves the old rules until the next run."""
    from kinfolk.association.mining import mine_baskets

    found = mine_baskets(run.read(CLEAN_EVENTS), run.settings.association, until=run.run_date)
    run.note(f"{found.itemset_count} itemsets in {found.basket_count} baskets")
    run.commit(run.stage(FREQUENT_ITEMSETS, found.itemsets), run.stage(ASSOCIATION_RULES, found.rules))


JOB = Job(
    "mine",
    mine,
    reads=(CLEAN_EVENTS,),
    writes=(FREQUENT_ITEMSETS, ASSOCIATION_RULES),
    sections=("association",),
    needs=("sources.events",),
    uses_run_date=lambda settings: settings.association.window_days is not None,
)
