"""Mine the baskets of clean_events for frequent itemsets and association rules."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from kinfolk.run import Job
from kinfolk.run.progress import format_seconds
from kinfolk.tables.catalog import ASSOCIATION_RULES, CLEAN_EVENTS, FREQUENT_ITEMSETS, RULE_CHANGES
from kinfolk.tables.scans import read_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from kinfolk.association.drift import Mined
    from kinfolk.association.mining import MiningResult
    from kinfolk.association.task import Report
    from kinfolk.run import Run

_CHANGES = ("appeared", "vanished", "changed")


def mine(run: Run) -> None:
    """Write rule_changes, which say what the run did, then frequent_itemsets and association_rules.

    Everything is computed before anything is written. A kill in between leaves each table whole, the first of them new
    and the others as they were; the next run finds the first ones as they should be, and writes the others.
    """
    from kinfolk.association.mining import mine_baskets

    scratch = f"{run.folder('staging')}/mine"
    mined = mine_baskets(run.read(CLEAN_EVENTS), run.settings.association, until=run.run_date, scratch=scratch)
    with closing(mined) as found:
        run.note(describe(found.report))
        if found.report.disputed:
            run.note(f"  {found.report.disputed:,} items have several categories; each counts in its commonest")
        changes = find_changes(run, found)
        results = run.stage_together(
            lambda: run.stage(FREQUENT_ITEMSETS, found.itemsets), lambda: run.stage(ASSOCIATION_RULES, found.rules)
        )
        run.record(RULE_CHANGES, changes)
        run.commit(*results)


def find_changes(run: Run, found: MiningResult) -> pa.Table:
    """What became of the rules that the last good run left; nothing where there is none."""
    from kinfolk.association.drift import CHANGES, compare_rules

    rules, itemsets = run.previous(ASSOCIATION_RULES), run.previous(FREQUENT_ITEMSETS)
    if rules is None or itemsets is None:
        return CHANGES.empty_table()
    old, new = (_read(*frames) for frames in ((rules, itemsets), (found.rules, found.itemsets)))
    new = new._replace(baskets=found.report.basket_count)
    changes = compare_rules(old, new, max_rate=run.settings.association.max_change_rate)
    tally = {kind: pc.sum(pc.equal(changes["change"], kind)).as_py() or 0 for kind in _CHANGES}
    run.note(f"  rules: {', '.join(f'{count:,} {kind}' for kind, count in tally.items())}")
    return changes


def _read(rules: DataFrame, itemsets: DataFrame) -> Mined:
    """The rules and itemsets of a time; the number of baskets is told by any of them."""
    from kinfolk.association.drift import RULE_COLUMNS, Mined

    told = read_frame(itemsets.select("itemset_id", "basket_count", "support"), threads=1)
    first = told.slice(0, 1).to_pylist()
    baskets = round(first[0]["basket_count"] / first[0]["support"]) if first else 0
    return Mined(read_frame(rules.select(*RULE_COLUMNS), threads=1), told.drop(["support"]), baskets)


def describe(report: Report) -> str:
    """One line of progress."""
    written = "" if report.itemsets == report.found else f", {report.itemsets:,} of them written"
    shared = f", by {report.tasks} tasks" if report.tasks > 1 else ""
    return (
        f"  {report.basket_count:,} baskets of {report.items:,} frequent items; {report.found:,} itemsets{written} and "
        f"{report.rules:,} rules in {format_seconds(sum(report.seconds.values()))}{shared}"
    )


JOB = Job(
    "mine",
    mine,
    reads=(CLEAN_EVENTS,),
    writes=(RULE_CHANGES, FREQUENT_ITEMSETS, ASSOCIATION_RULES),
    sections=("association",),
    needs=("sources.events",),
    uses_run_date=lambda settings: settings.association.window_days is not None,
)
