"""Find similar pairs, nearest neighbours, identical items and groups among the embeddings of one modality.

Everything is computed before anything is written. Then item_copies comes first, since pairs and neighbours speak of
representatives only and are read through it; similar_pairs and item_neighbors follow, and item_groups last. A kill in
between leaves each table whole, the first of them new and the others as they were; the next run finds the first ones as
they should be, leaves them alone, and writes the others.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from kinfolk.errors import DataError
from kinfolk.run import Job, Pending, Run
from kinfolk.similarity.groups import connect_groups
from kinfolk.similarity.join import JoinAudit, similar_pairs
from kinfolk.tables.catalog import ITEM_COPIES, ITEM_EMBEDDINGS, ITEM_GROUPS, ITEM_NEIGHBORS, SIMILAR_PAIRS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def join(run: Run) -> None:
    """Write item_copies, similar_pairs, item_neighbors and item_groups."""
    from pyspark.sql import functions as F

    settings = run.settings.similarity
    vectors = run.read(ITEM_EMBEDDINGS).where(F.col("modality") == settings.modality)
    with closing(similar_pairs(vectors, settings=settings)) as found:
        check_modality(run, found.audit)
        run.note(describe(found.audit))
        groups = connect_groups(found.pairs, found.copies)
        rejected = found.rejected.withColumn("modality", F.lit(settings.modality))
        run.commit(
            stage_copies(run, found.copies.unionByName(rejected, allowMissingColumns=True), found.audit),
            run.stage(SIMILAR_PAIRS, found.pairs),
            run.stage(ITEM_NEIGHBORS, found.neighbors),
            run.stage(ITEM_GROUPS, groups),
        )


def stage_copies(run: Run, copies: DataFrame, audit: JoinAudit) -> Pending:
    """Stage the copies, and with them the rejected items: neither takes part in a pair."""
    rows_in = audit.items - audit.distinct
    return run.stage(ITEM_COPIES, copies, origin=ITEM_EMBEDDINGS, rows_in=rows_in, rows_seen=audit.items)


def check_modality(run: Run, audit: JoinAudit) -> None:
    """Raise DataError where there are embeddings, but none of the modality to be joined."""
    if run.rows(ITEM_EMBEDDINGS) and not audit.items:
        modality = run.settings.similarity.modality
        raise DataError(
            f"item_embeddings has {run.rows(ITEM_EMBEDDINGS):,} rows, none of them of modality {modality}; choose "
            f"another with --set similarity.modality=NAME, or embed with {modality} among embedding.modalities"
        )


def describe(audit: JoinAudit) -> str:
    """One line of progress."""
    tasks = "one task" if audit.tasks == 1 else f"{audit.tasks} tasks"
    return (
        f"  {audit.items:,} items: {audit.distinct:,} distinct, {audit.copies:,} copies, {audit.rejected:,} rejected; "
        f"{audit.pairs:,} similar pairs, found in {tasks}"
    )


JOB = Job(
    "join",
    join,
    reads=(ITEM_EMBEDDINGS,),
    writes=(ITEM_COPIES, SIMILAR_PAIRS, ITEM_NEIGHBORS, ITEM_GROUPS),
    sections=("similarity",),
    needs="items",
)
