"""Find for each item of one side what it resembles on the other: a text's pictures, a catalogue's items in another one.

The sides are `matching.left` and `matching.right`: embeddings of a modality, or texts under a measure of sets, of all
items or of those of some sources. Without sides the job has nothing to do, and `kinfolk run` leaves it out.

What the last good run left, and matched_items says what it compared, is kept where nothing changed since; a forced run
compares everything.

Everything is computed before anything is written. Then match_audits comes first, which says what the run did;
matched_copies next, since matches speak of representatives only and are read through it; item_matches and matched_pairs
follow, and matched_items last. A kill in between leaves each table whole; the next run writes what is missing.
"""

from __future__ import annotations

from contextlib import closing

from kinfolk.jobs.join import describe, describe_plan, tell_audit
from kinfolk.jobs.sides import check_items, find_sides, read_side
from kinfolk.run import Job, Pending, Run
from kinfolk.similarity.incremental import JoinState
from kinfolk.similarity.join import JoinResult, similar_pairs
from kinfolk.tables.catalog import (
    CLEAN_ITEMS,
    ITEM_EMBEDDINGS,
    ITEM_MATCHES,
    MATCH_AUDITS,
    MATCHED_COPIES,
    MATCHED_ITEMS,
    MATCHED_PAIRS,
)


def match(run: Run) -> None:
    """Write match_audits, matched_copies, item_matches, matched_pairs and matched_items."""
    settings = run.settings.matching
    left, right = find_sides(settings)
    joined = similar_pairs(
        read_side(run, left, settings),
        read_side(run, right, settings),
        settings=settings,
        previous=read_state(run),
        scratch=f"{run.folder('staging')}/match",
        hear=lambda told: run.note(describe_plan(told)),
    )
    with closing(joined) as found:
        audit = found.audit
        assert audit.right is not None
        for side, count in ((left, audit.left), (right, audit.right)):
            check_items(run, side, settings, count.items)
        run.note(describe(audit))
        results = run.stage_together(
            lambda: stage_copies(run, found),
            lambda: run.stage(ITEM_MATCHES, found.neighbors.withColumnRenamed("neighbor_id", "match_id")),
            lambda: run.stage(MATCHED_PAIRS, found.pairs),
            lambda: run.stage(MATCHED_ITEMS, found.state.digests),
        )
        run.record(MATCH_AUDITS, tell_audit(audit, settings, MATCH_AUDITS))
        run.commit(*results)


def read_state(run: Run) -> JoinState | None:
    """What the last good run left; None where all has to be compared."""
    digests, pairs, matches = (run.previous(table) for table in (MATCHED_ITEMS, MATCHED_PAIRS, ITEM_MATCHES))
    if run.is_forced or digests is None or pairs is None or matches is None:
        return None
    return JoinState(
        digests.select("side", "item_id", "digest"), pairs, matches.withColumnRenamed("match_id", "neighbor_id")
    )


def stage_copies(run: Run, found: JoinResult) -> Pending:
    """Stage the copies, and with them the rejected items: neither takes part in a match."""
    audit = found.audit
    assert audit.right is not None
    rows = found.copies.unionByName(found.rejected, allowMissingColumns=True)
    rows_in = audit.items - audit.left.distinct - audit.right.distinct
    return run.stage(MATCHED_COPIES, rows, rows_in=rows_in, rows_seen=audit.items)


JOB = Job(
    "match",
    match,
    optional_reads=(ITEM_EMBEDDINGS, CLEAN_ITEMS),
    writes=(MATCH_AUDITS, MATCHED_COPIES, ITEM_MATCHES, MATCHED_PAIRS, MATCHED_ITEMS),
    sections=("matching",),
    needs=("sources.items", "matching.left", "matching.right"),
)
