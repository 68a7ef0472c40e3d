"""Find similar pairs, nearest neighbours, identical items and groups among embeddings of one modality, or texts.

Under a measure of vectors (cosine, euclidean, inner_product) the embeddings of `similarity.modality` are joined, under
a measure of sets (jaccard, containment, overlap) the texts of clean_items; within blocks where `similarity.blocking`
names a column of clean_items.

What the last good run left, and joined_items says what it compared, is kept where nothing changed since; a forced run
compares everything.

Everything is computed before anything is written. Then join_audits and group_events come first, which say what the run
did; item_copies next, since pairs and neighbours speak of representatives only and are read through it; similar_pairs
and item_neighbors follow, then item_groups, and joined_items last. A kill in between leaves each table whole, the first
of them new and the others as they were; the next run finds the first ones as they should be, leaves them alone, and
writes the others.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import asdict

import pyarrow as pa

from kinfolk.jobs.sides import check_items, find_source, read_side
from kinfolk.run import Job, Pending, Run
from kinfolk.run.progress import format_seconds
from kinfolk.settings import JoinSettings, SideSettings
from kinfolk.similarity.forecast import Forecast, format_bytes, format_count
from kinfolk.similarity.groups.connect import connect_groups
from kinfolk.similarity.incremental import JoinState
from kinfolk.similarity.join import JoinAudit, JoinResult, similar_pairs
from kinfolk.tables.catalog import (
    CLEAN_ITEMS,
    GROUP_EVENTS,
    ITEM_COPIES,
    ITEM_EMBEDDINGS,
    ITEM_GROUPS,
    ITEM_NEIGHBORS,
    JOIN_AUDITS,
    JOINED_ITEMS,
    SIMILAR_PAIRS,
)
from kinfolk.tables.contract import Table


def join(run: Run) -> None:
    """Write join_audits, group_events, item_copies, similar_pairs, item_neighbors, item_groups and joined_items."""
    settings = run.settings.similarity
    side = SideSettings(modality=settings.modality)
    items = read_side(run, side, settings)
    scratch = f"{run.folder('staging')}/join"
    with ExitStack() as open_frames:
        joined = similar_pairs(
            items,
            settings=settings,
            previous=read_state(run),
            scratch=scratch,
            hear=lambda told: run.note(describe_plan(told)),
        )
        found = open_frames.enter_context(closing(joined))
        check_items(run, side, settings, found.audit.items)
        run.note(describe(found.audit))
        previous = run.previous(ITEM_GROUPS)
        connected = connect_groups(found.pairs, found.copies, settings=settings.groups, previous=previous)
        open_frames.enter_context(closing(connected))
        results = run.stage_together(
            lambda: stage_copies(run, found),
            lambda: run.stage(SIMILAR_PAIRS, found.pairs),
            lambda: run.stage(ITEM_NEIGHBORS, found.neighbors),
            lambda: run.stage(ITEM_GROUPS, connected.groups),
            lambda: run.stage(JOINED_ITEMS, found.state.digests.drop("side")),
        )
        run.record(JOIN_AUDITS, tell_audit(found.audit, settings, JOIN_AUDITS))
        run.record(GROUP_EVENTS, connected.events)
        run.commit(*results)


def read_state(run: Run) -> JoinState | None:
    """What the last good run left; None where all has to be compared."""
    from pyspark.sql import functions as F

    left = [run.previous(table) for table in (JOINED_ITEMS, SIMILAR_PAIRS, ITEM_NEIGHBORS)]
    digests, pairs, neighbors = left
    if run.is_forced or digests is None or pairs is None or neighbors is None:
        return None
    return JoinState(digests.select(F.lit("left").alias("side"), "item_id", "digest"), pairs, neighbors)


def stage_copies(run: Run, found: JoinResult) -> Pending:
    """Stage the copies, and with them the rejected items: neither takes part in a pair."""
    from pyspark.sql import functions as F

    count, source = found.audit.left, find_source(run.settings.similarity)
    rows = found.copies.unionByName(found.rejected, allowMissingColumns=True).drop("side")
    if source is ITEM_EMBEDDINGS:
        rows = rows.withColumn("modality", F.lit(run.settings.similarity.modality))
    rows_in = count.items - count.distinct
    return run.stage(ITEM_COPIES, rows, origin=source, rows_in=rows_in, rows_seen=count.items)


def describe_plan(forecast: Forecast) -> str:
    """One line of progress: what will be done, and what it is expected to find and to need.

    >>> describe_plan(Forecast("exact", neighbors=0, comparisons=10.0, tasks=1, threads=2))
    '  plan: exact, in one task with 2 threads'
    """
    tasks = "one task" if forecast.tasks == 1 else f"{forecast.tasks} tasks"
    threads = "1 thread" if forecast.threads == 1 else f"{forecast.threads} threads"
    where = f"in {tasks} with {threads}{' each' if forecast.tasks > 1 else ''}"
    pairs, seconds, memory = forecast.pairs, forecast.seconds, forecast.memory
    if pairs is None or seconds is None or memory is None:
        return f"  plan: {forecast.plan}, {where}"
    return (
        f"  plan: {forecast.plan}, about {format_count(pairs.value)} pairs "
        f"({format_count(pairs.low)}-{format_count(pairs.high)}), {format_seconds(seconds)}, "
        f"{format_bytes(memory.bytes)} {where}"
    )


def describe(audit: JoinAudit) -> str:
    """One line of progress."""
    tasks = "one task" if audit.tasks == 1 else f"{audit.tasks} tasks"
    anew = "" if audit.compared == audit.left.distinct else f", {audit.compared:,} items compared anew"
    recall = (
        "" if audit.is_exact else f", recall {audit.recall.value:.3f} ({audit.recall.low:.3f}-{audit.recall.high:.3f})"
    )
    expected = f" of about {format_count(audit.forecast.pairs.value)} expected" if audit.forecast.pairs else ""
    items = " against ".join(side.describe() for side in (audit.left, audit.right) if side)
    return (
        f"  {items}; {audit.pairs:,} similar pairs{expected} and {audit.neighbors:,} neighbours, found by {audit.plan} "
        f"in {tasks} and {format_seconds(sum(audit.seconds.values()))}{anew}{recall}"
    )


def tell_audit(audit: JoinAudit, settings: JoinSettings, table: Table) -> pa.Table:
    """The row of a table of audits."""
    row = {
        "measure": audit.measure,
        "threshold": settings.threshold,
        "neighbors_wanted": settings.neighbors,
        "plan": audit.plan,
        **_tell_counts(audit),
        "compared": audit.compared,
        "pairs": audit.pairs,
        "neighbors": audit.neighbors,
        "recall": audit.recall.value,
        "recall_low": audit.recall.low,
        "recall_high": audit.recall.high,
        "probes": audit.recall.probes,
        "tasks": audit.tasks,
    }
    schema = table.arrow_schema()
    return pa.Table.from_pylist([row], schema=pa.schema([schema.field(name) for name in row]))


def _tell_counts(audit: JoinAudit) -> dict[str, int]:
    """What became of the items, of each side where there are two."""
    if audit.right is None:
        return asdict(audit.left)
    sides = {"left": audit.left, "right": audit.right}
    return {f"{side}_{name}": count for side, counts in sides.items() for name, count in asdict(counts).items()}


JOB = Job(
    "join",
    join,
    optional_reads=(ITEM_EMBEDDINGS, CLEAN_ITEMS),
    writes=(JOIN_AUDITS, GROUP_EVENTS, ITEM_COPIES, SIMILAR_PAIRS, ITEM_NEIGHBORS, ITEM_GROUPS, JOINED_ITEMS),
    sections=("similarity",),
    needs=("sources.items",),
)
