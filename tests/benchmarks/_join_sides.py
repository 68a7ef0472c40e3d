"""Both sides of the benchmark of the similarity join, but for peers in processes of their own.

kinfolk's from table to table, as a job, and in memory; MLlib's in the same Spark session; a plain product of blocks.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from kinfolk.engines.spark import build_session
from kinfolk.jobs.join import JOB
from kinfolk.run import run_job
from kinfolk.settings import JoinSettings, Settings, SparkSettings, TokenSettings
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.incremental import JoinState
from kinfolk.similarity.join import similar_pairs
from kinfolk.similarity.sets.items import read_sets
from kinfolk.similarity.sets.join import join_sets
from kinfolk.similarity.vectors.items import ItemVectors
from kinfolk.similarity.vectors.join import join_vectors
from kinfolk.tables.catalog import ITEM_EMBEDDINGS
from kinfolk.tables.lake import Lake
from kinfolk.tables.small import MOST_ROWS

from ._join_checks import Found, unit_rows
from ._join_data import GRAM, ids_of
from .harness import WrongResult

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COSINE, JACCARD, NEIGHBORS = 0.85, 0.8, 10
"""Thresholds, of vectors whose partners are at .9 and of documents; neighbours of each row."""
THREADS = 2
"""Cores of Spark, and threads of a peer beside it."""
STATE = ("digests", "pairs", "neighbors")
BLAS_BLOCK_ROWS = 2_048
HASHED_WORDS = 1 << 20
"""Places that MLlib's peer hashes words to."""


def pairs_settings(recall: float = 1.0, *, threshold: float = COSINE) -> JoinSettings:
    """Ask for pairs of vectors only; all of them where the recall is 1."""
    return JoinSettings(threshold=threshold, neighbors=0, recall=recall)


def document_settings(recall: float, *, gram: int = GRAM) -> JoinSettings:
    """Ask for pairs of documents only."""
    return JoinSettings(
        measure="jaccard", threshold=JACCARD, neighbors=0, recall=recall, tokens=TokenSettings(length=gram)
    )


def neighbor_settings(recall: float) -> JoinSettings:
    """Ask for neighbours only."""
    return JoinSettings(threshold=None, neighbors=NEIGHBORS, recall=recall)


@contextmanager
def open_session() -> Iterator[SparkSession]:
    """Open the Spark session that all cases share, or join it."""
    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--driver-memory 6g pyspark-shell")
    session = build_session("kinfolk-bench-join", SparkSettings(master=f"local[{THREADS}]"))
    try:
        yield session
    finally:
        session.stop()


def read_items(spark: SparkSession, folder: Path) -> DataFrame:
    """The table of a folder of data."""
    return spark.read.parquet(str(folder / "items"))


def write_delta(frame: DataFrame, target: Path) -> Path:
    """Write a frame in the place of what stood there."""
    frame.write.format("delta").mode("overwrite").save(str(target))
    return target


def write_found(frame: DataFrame, rows: int, target: Path) -> Path:
    """Write what was found in the place of what stood there; a few rows without Spark, as the jobs do."""
    if rows > MOST_ROWS:
        return write_delta(frame, target)
    write_deltalake(target, frame.toArrow(), mode="overwrite", schema_mode="overwrite")
    return target


def join_tables(
    spark: SparkSession, folder: Path, settings: JoinSettings, target: Path, *, previous: Path | None = None
) -> Path:
    """Join a table with itself; write `pairs` and `neighbors`, as far as they are asked for, and `copies` if any.

    With the tables that `join_first_night` wrote, only what changed since is compared.
    """
    state = read_state(spark, previous) if previous else None
    with closing(similar_pairs(read_items(spark, folder), settings=settings, previous=state)) as found:
        audit = found.audit
        if state and audit.compared == audit.left.distinct:
            raise WrongResult("all items were compared, although few of them changed")
        if settings.threshold is not None:
            write_found(found.pairs, audit.pairs, target / "pairs")
        if settings.neighbors:
            write_found(found.neighbors, audit.neighbors, target / "neighbors")
        if audit.left.copies:
            write_found(found.copies, audit.left.copies, target / "copies")
    return target


def join_first_night(spark: SparkSession, folder: Path, settings: JoinSettings, target: Path) -> Path:
    """Join a table with itself; write all that the next night needs."""
    with closing(similar_pairs(read_items(spark, folder), settings=settings)) as found:
        for name in STATE:
            write_delta(getattr(found.state, name), target / name)
    return target


def read_state(spark: SparkSession, folder: Path) -> JoinState:
    """Read what `join_first_night` wrote."""
    return JoinState(**{name: spark.read.format("delta").load(str(folder / name)) for name in STATE})


def write_embeddings(lake: Path, vectors_ND: NDArray[np.float32], positions_N: NDArray[np.int64]) -> None:
    """Make item_embeddings of a lake hold these items; a second call is a new version of the table."""
    count, size = vectors_ND.shape
    offsets = np.arange(0, count * size + 1, size, dtype=np.int32)
    given = {"modality": "image", "model_name": "given", "model_version": "1", "source_version": 0, "run_id": "given"}
    columns = {
        "item_id": ids_of(positions_N),
        "embedding": pa.ListArray.from_arrays(offsets, np.ascontiguousarray(vectors_ND).ravel()),
        "updated_at": pa.array([datetime.now(UTC)] * count, pa.timestamp("us", tz="UTC")),
        **{name: pa.array([value] * count) for name, value in given.items()},
    }
    rows = pa.table(columns).select(ITEM_EMBEDDINGS.column_names)
    Lake(str(lake)).replace_rows(ITEM_EMBEDDINGS, rows, "true")


def run_join_job(spark: SparkSession, lake: Path, settings: JoinSettings) -> None:
    """Run the join job on a lake: all its tables, checks and records."""
    whole = Settings.model_validate({"lake": {"root": str(lake)}, "similarity": settings.model_dump()})
    run_job(JOB, whole, spark=spark, note=lambda message: None)


def fresh_copy(lake: Path, target: Path) -> Path:
    """Copy a lake to where another one may stand."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(lake, target)
    return target


def join_vectors_in_memory(
    vectors_ND: NDArray[np.float32], settings: JoinSettings, *, threads: int
) -> tuple[Pairs, Neighbors]:
    """Join vectors with themselves, without Spark."""
    items = ItemVectors(ids_of(np.arange(len(vectors_ND))), vectors_ND)
    return join_vectors(items, None, settings, threads=threads)


def join_texts_in_memory(texts: pa.StringArray, settings: JoinSettings, *, threads: int) -> Pairs:
    """Join texts with themselves, from strings to pairs, without Spark."""
    items, _ = read_sets(pa.table({"item_id": ids_of(np.arange(len(texts))), "value": texts}), settings.tokens)
    return join_sets(items, None, settings, threads=threads)[0]


def as_found(pairs: Pairs) -> Found:
    """Pairs of codes, which are positions where no item is a copy."""
    return Found(pairs.left_P, pairs.right_P, pairs.similarity_P)


def multiply_blocks(vectors_ND: NDArray[np.float32], threshold: float) -> Found:
    """The plain way to all pairs: each pair of blocks multiplied once on one thread, and what is too low left out."""
    unit_ND = unit_rows(vectors_ND)
    scores = np.empty((BLAS_BLOCK_ROWS, BLAS_BLOCK_ROWS), np.float32)
    parts = []
    with threadpool_limits(1):
        for start in range(0, len(unit_ND), BLAS_BLOCK_ROWS):
            left = unit_ND[start : start + BLAS_BLOCK_ROWS]
            for other in range(start, len(unit_ND), BLAS_BLOCK_ROWS):
                right = unit_ND[other : other + BLAS_BLOCK_ROWS]
                tile = np.matmul(left, right.T, out=scores[: len(left), : len(right)])
                row_P, column_P = np.nonzero(tile >= threshold)
                parts.append((row_P + start, column_P + other, tile[row_P, column_P]))
    left_P, right_P, similarity_P = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    is_once = left_P < right_P
    return Found(left_P[is_once], right_P[is_once], similarity_P[is_once].astype(np.float64))


def join_by_mllib_projection(
    spark: SparkSession, folder: Path, target: Path, *, threshold: float, bucket: float, tables: int
) -> Path:
    """Join by BucketedRandomProjectionLSH: Euclidean distance of vectors of length 1 is another way to say cosine."""
    from pyspark.ml.feature import BucketedRandomProjectionLSH, Normalizer
    from pyspark.ml.functions import array_to_vector

    items = read_items(spark, folder).select("item_id", array_to_vector("embedding").alias("vector"))
    units = Normalizer(inputCol="vector", outputCol="unit").transform(items.repartition(2 * THREADS))
    model = BucketedRandomProjectionLSH(
        inputCol="unit", outputCol="hashes", bucketLength=bucket, numHashTables=tables, seed=1
    ).fit(units)
    return _write_similar(model, units.select("item_id", "unit"), target, (2 - 2 * threshold) ** 0.5, "1 - d * d / 2")


def join_by_mllib_minhash(spark: SparkSession, folder: Path, target: Path, *, threshold: float, tables: int) -> Path:
    """Join by MinHashLSH over hashed words."""
    from pyspark.ml.feature import HashingTF, MinHashLSH, RegexTokenizer

    items = read_items(spark, folder).repartition(2 * THREADS)
    words = RegexTokenizer(inputCol="text", outputCol="words", pattern=" ").transform(items)
    hashed = HashingTF(numFeatures=HASHED_WORDS, binary=True, inputCol="words", outputCol="set").transform(words)
    sets = hashed.select("item_id", "set")
    model = MinHashLSH(inputCol="set", outputCol="hashes", numHashTables=tables, seed=1).fit(sets)
    return _write_similar(model, sets, target, 1 - threshold, "1 - d")


def _write_similar(model: object, items: DataFrame, target: Path, distance: float, similarity: str) -> Path:
    """Write the pairs within a distance, each once."""
    items = items.cache()
    try:
        pairs = model.approxSimilarityJoin(items, items, distance, distCol="d")
        once = pairs.where("datasetA.item_id < datasetB.item_id")
        columns = ("datasetA.item_id AS left_id", "datasetB.item_id AS right_id", f"{similarity} AS similarity")
        return write_delta(once.selectExpr(*columns), target)
    finally:
        items.unpersist()
