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
from typing import TYPE_CHECKING

import pyarrow as pa

from kinfolk.errors import DataError, SettingsError
from kinfolk.run import Job, Pending, Run
from kinfolk.run.progress import format_seconds
from kinfolk.settings import JoinSettings
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

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def join(run: Run) -> None:
    """Write join_audits, group_events, item_copies, similar_pairs, item_neighbors, item_groups and joined_items."""
    settings = run.settings.similarity
    source, items = read_items(run)
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
        check_items(run, source, found.audit)
        run.note(describe(found.audit))
        previous = run.previous(ITEM_GROUPS)
        connected = connect_groups(found.pairs, found.copies, settings=settings.groups, previous=previous)
        open_frames.enter_context(closing(connected))
        results = run.stage_together(
            lambda: stage_copies(run, source, found),
            lambda: run.stage(SIMILAR_PAIRS, found.pairs),
            lambda: run.stage(ITEM_NEIGHBORS, found.neighbors),
            lambda: run.stage(ITEM_GROUPS, connected.groups),
            lambda: run.stage(JOINED_ITEMS, found.state.digests.drop("side")),
        )
        run.record(JOIN_AUDITS, tell_audit(found.audit, settings))
        run.record(GROUP_EVENTS, connected.events)
        run.commit(*results)


def read_items(run: Run) -> tuple[Table, DataFrame]:
    """What is compared, and the table that it comes from."""
    from pyspark.sql import functions as F

    settings = run.settings.similarity
    blocks = check_blocking(settings)
    if not settings.compares_vectors:
        return CLEAN_ITEMS, run.read(CLEAN_ITEMS).where(F.col("text").isNotNull()).select("item_id", "text", *blocks)
    embeddings = run.read(ITEM_EMBEDDINGS).where(F.col("modality") == settings.modality)
    if blocks:
        embeddings = embeddings.join(run.read(CLEAN_ITEMS).select("item_id", *blocks), "item_id", "left")
    return ITEM_EMBEDDINGS, embeddings


def check_blocking(settings: JoinSettings) -> list[str]:
    """The column that items are told apart by, if any; SettingsError where clean_items has no such one."""
    if settings.blocking is None:
        return []
    allowed = [column.name for column in CLEAN_ITEMS.columns if column.type == "string" and column.role == "content"]
    allowed = [name for name in allowed if name not in ("item_id", "text")]
    if settings.blocking not in allowed:
        raise SettingsError(
            f"similarity.blocking is {settings.blocking}; items are told apart by {', '.join(allowed)} of clean_items: "
            "choose one of these"
        )
    return [settings.blocking]


def read_state(run: Run) -> JoinState | None:
    """What the last good run left; None where all has to be compared."""
    from pyspark.sql import functions as F

    left = [run.previous(table) for table in (JOINED_ITEMS, SIMILAR_PAIRS, ITEM_NEIGHBORS)]
    digests, pairs, neighbors = left
    if run.is_forced or digests is None or pairs is None or neighbors is None:
        return None
    return JoinState(digests.select(F.lit("left").alias("side"), "item_id", "digest"), pairs, neighbors)


def stage_copies(run: Run, source: Table, found: JoinResult) -> Pending:
    """Stage the copies, and with them the rejected items: neither takes part in a pair."""
    from pyspark.sql import functions as F

    count = found.audit.left
    rows = found.copies.unionByName(found.rejected, allowMissingColumns=True).drop("side")
    if source is ITEM_EMBEDDINGS:
        rows = rows.withColumn("modality", F.lit(run.settings.similarity.modality))
    rows_in = count.items - count.distinct
    return run.stage(ITEM_COPIES, rows, origin=source, rows_in=rows_in, rows_seen=count.items)


def check_items(run: Run, source: Table, audit: JoinAudit) -> None:
    """Raise DataError where there are items, but none that the settings want to be joined."""
    if not run.rows(source) or audit.items:
        return
    if source is CLEAN_ITEMS:
        raise DataError(
            f"clean_items has {run.rows(source):,} rows, none of them with a text, which "
            f"{run.settings.similarity.measure} compares; choose cosine with --set similarity.measure=cosine"
        )
    modality = run.settings.similarity.modality
    raise DataError(
        f"item_embeddings has {run.rows(source):,} rows, none of them of modality {modality}; choose another with "
        f"--set similarity.modality=NAME, or embed with {modality} among embedding.modalities"
    )


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
    count = audit.left
    anew = "" if audit.compared == count.distinct else f", {audit.compared:,} items compared anew"
    recall = (
        "" if audit.is_exact else f", recall {audit.recall.value:.3f} ({audit.recall.low:.3f}-{audit.recall.high:.3f})"
    )
    expected = f" of about {format_count(audit.forecast.pairs.value)} expected" if audit.forecast.pairs else ""
    return (
        f"  {count.items:,} items: {count.distinct:,} distinct, {count.copies:,} copies, {count.rejected:,} rejected; "
        f"{audit.pairs:,} similar pairs{expected}, found by {audit.plan} in {tasks} and "
        f"{format_seconds(sum(audit.seconds.values()))}{anew}{recall}"
    )


def tell_audit(audit: JoinAudit, settings: JoinSettings) -> pa.Table:
    """The row of join_audits."""
    count, recall = audit.left, audit.recall
    row = {
        "measure": audit.measure,
        "threshold": settings.threshold,
        "neighbors_wanted": settings.neighbors,
        "plan": audit.plan,
        "items": count.items,
        "distinct": count.distinct,
        "copies": count.copies,
        "rejected": count.rejected,
        "compared": audit.compared,
        "pairs": audit.pairs,
        "neighbors": audit.neighbors,
        "recall": recall.value,
        "recall_low": recall.low,
        "recall_high": recall.high,
        "probes": recall.probes,
        "tasks": audit.tasks,
    }
    schema = JOIN_AUDITS.arrow_schema()
    return pa.Table.from_pylist([row], schema=pa.schema([schema.field(name) for name in row]))


JOB = Job(
    "join",
    join,
    reads=(ITEM_EMBEDDINGS,),
    optional_reads=(CLEAN_ITEMS,),
    writes=(JOIN_AUDITS, GROUP_EVENTS, ITEM_COPIES, SIMILAR_PAIRS, ITEM_NEIGHBORS, ITEM_GROUPS, JOINED_ITEMS),
    sections=("similarity",),
    needs="items",
)
