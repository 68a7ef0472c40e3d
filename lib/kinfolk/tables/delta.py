"""How Spark writes tables: staged once, measured once, then committed all-or-nothing and safe to repeat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kinfolk.errors import ContractError, LakeBusyError
from kinfolk.tables.catalog import REJECTED_ROWS
from kinfolk.tables.contract import Table, mismatches, quote_sql
from kinfolk.tables.lake import Lake
from kinfolk.tables.small import read_small, stage_rows
from kinfolk.tables.staging import (
    DETAIL,
    DETAIL_CHARACTERS,
    REASON,
    Staged,
    Stamp,
    Where,
    name_faults,
    refuse_faults,
)

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row, SparkSession


@dataclass(frozen=True)
class Digest:
    """Number of rows and an order-free hash of their content: the sum and the xor of 64-bit row hashes.

    Two states of a table with equal digests are taken for equal; for unequal ones the odds against that are 2^64.
    """

    rows: int
    hash_sum: int
    hash_xor: int


@dataclass(frozen=True)
class SparkStaged:
    """A staged result (see `staging.Staged`): a frame of its rows, rejected ones included, read from staged files."""

    table: Table
    frame: DataFrame
    digest: Digest
    rejected: int
    reasons: dict[str, int]

    @property
    def good(self) -> int:
        """Rows for the table."""
        return self.digest.rows

    def is_current(self, lake: Lake, where: Where | None = None) -> bool:
        """Whether the table, or its slice `where`, holds the good rows already, provenance aside."""
        where = where or {}
        standing = lake.count_rows(self.table, dict(where))
        if standing is not None and standing != self.good:
            return False
        if not self.good:
            return True
        return digest(self._standing(lake).where(_condition(where)), self.table.content) == self.digest

    def count_deleted(self, lake: Lake) -> int:
        """Rows of the table as it stands whose key the good rows no longer have."""
        good = self.frame.where(f"{REASON} IS NULL").select(*self.table.key)
        return self._standing(lake).select(*self.table.key).join(good, list(self.table.key), "left_anti").count()

    def commit_sync(self, lake: Lake, stamp: Stamp) -> None:
        """Make the table hold exactly the good rows: insert, update what differs, delete what is gone."""
        table, path, rows = self.table, lake.path(self.table.name), self._committable(stamp)
        with _committing(rows.sparkSession, table, stamp):
            if lake.snapshot(table).rows == 0:
                _lay_out(rows, table, self.good).write.format("delta").mode("append").save(path)
                return
            from delta.tables import DeltaTable

            differs = " OR ".join(f"NOT (t.`{c}` <=> s.`{c}`)" for c in table.content if c not in table.key) or "false"
            merge = (
                DeltaTable.forPath(rows.sparkSession, path)
                .alias("t")
                .merge(rows.alias("s"), " AND ".join(f"t.`{k}` = s.`{k}`" for k in table.key))
            )
            merge.whenMatchedUpdateAll(
                condition=differs
            ).whenNotMatchedInsertAll().whenNotMatchedBySourceDelete().execute()

    def commit_replace(self, lake: Lake, stamp: Stamp, where: Where) -> None:
        """Put the good rows in the place of the table's slice `where`."""
        rows = _lay_out(self._committable(stamp), self.table, self.good)
        writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", _condition(where))
        with _committing(rows.sparkSession, self.table, stamp):
            writer.save(lake.path(self.table.name))

    def stage_rejected(self, key: tuple[str, ...], job: str, lake: Lake, folder: str) -> Staged:
        """The rows turned away, staged for rejected_rows."""
        from pyspark.sql import functions as F

        rejected = self.frame.where(F.col(REASON).isNotNull()).select(
            F.lit(job).alias("job"),
            F.lit(self.table.name).alias("target_table"),
            F.to_json(F.struct(*key)).alias("row_key"),
            F.col(REASON).alias("reason"),
            F.substring(F.col(DETAIL), 1, DETAIL_CHARACTERS).alias("detail"),
        )
        return stage(rejected, REJECTED_ROWS, lake, folder)

    def _standing(self, lake: Lake) -> DataFrame:
        return self.frame.sparkSession.read.format("delta").load(lake.path(self.table.name))

    def _committable(self, stamp: Stamp) -> DataFrame:
        from pyspark.sql import functions as F

        added = {name: F.lit(value) for name, value in stamp.columns(self.table).items()}
        return self.frame.where(f"{REASON} IS NULL").withColumns(added).select(*self.table.column_names)


def stage(frame: DataFrame, table: Table, lake: Lake, folder: str) -> Staged:
    """Write a result to `folder` as Parquet, check and measure it; whatever made it is computed only once.

    `frame` has the table's content columns, and where rows may be turned away REASON (null for a good row), DETAIL and
    the columns that name such a row. Raises ContractError naming every column that is missing, unknown, of another
    type, null where it may not be, or against a check, and keys that come more than once.
    """
    from pyspark.sql import functions as F

    _check_columns(frame, table)
    for name in (REASON, DETAIL):
        if name not in frame.columns:
            frame = frame.withColumn(name, F.lit(None).cast("string"))
    frame.write.mode("overwrite").parquet(folder)
    rows = read_small(folder, table, lake)
    if rows is not None:
        return stage_rows(rows, table, f"{folder}.scratch")
    staged = frame.sparkSession.read.schema(frame.schema).parquet(folder)
    is_good = F.col(REASON).isNull()
    faults = name_faults(table, frame.columns, "`")
    counts = [
        F.count_if(is_good & F.expr(condition)).alias(f"fault_{i}") for i, condition in enumerate(faults.values())
    ]
    row = staged.agg(F.count_if(~is_good).alias("rejected"), *counts, *_digest_columns(table.content, is_good)).first()
    assert row is not None, "an aggregate without keys has one row"
    counted = {words: int(row[f"fault_{i}"]) for i, words in enumerate(faults)}
    refuse_faults(table, counted, _repeated_keys(staged.where(is_good), table))
    rejected = int(row["rejected"])
    return SparkStaged(table, staged, _read_digest(row), rejected, _count_reasons(staged) if rejected else {})


def _check_columns(frame: DataFrame, table: Table) -> None:
    from pyspark.sql.types import ArrayType, DataType, StructType

    def plain(kind: DataType) -> str:
        if isinstance(kind, ArrayType):
            return f"array<{plain(kind.elementType)}>"
        if isinstance(kind, StructType):
            return f"struct<{','.join(f'{f.name}:{plain(f.dataType)}' for f in kind.fields)}>"
        return kind.simpleString()

    known = set(table.column_names)
    actual = {f.name: plain(f.dataType) for f in frame.schema.fields if f.name in known}
    added_by_run = {"run_id": "string", "updated_at": "timestamp"}
    problems = mismatches(table, {n: t for n, t in added_by_run.items() if n in known} | actual)
    if problems:
        raise ContractError(f"the result for {table.name} does not meet its contract: {'; '.join(problems)}")


def _repeated_keys(good: DataFrame, table: Table) -> list[tuple[tuple[object, ...], int]]:
    from pyspark.sql import functions as F

    repeated = good.groupBy(*table.key).agg(F.count("*").alias("times")).where("times > 1").limit(3).collect()
    return [(tuple(row[k] for k in table.key), int(row["times"])) for row in repeated]


def _count_reasons(staged: DataFrame) -> dict[str, int]:
    from pyspark.sql import functions as F

    counted = staged.where(F.col(REASON).isNotNull()).groupBy(REASON).agg(F.count("*").alias("rows")).collect()
    return {row[REASON]: int(row["rows"]) for row in sorted(counted, key=lambda row: (-row["rows"], row[REASON]))}


def digest(frame: DataFrame, columns: list[str]) -> Digest:
    """Measure the rows of a frame; the order of rows and their spread over files do not count."""
    from pyspark.sql import functions as F

    row = frame.agg(*_digest_columns(columns, F.expr("true"))).first()
    assert row is not None, "an aggregate without keys has one row"
    return _read_digest(row)


def _digest_columns(columns: list[str], counts: Column) -> list[Column]:
    """The parts of a digest as aggregates over the rows for which `counts` holds."""
    from pyspark.sql import functions as F

    # xxhash64 skips nulls, so that (null, "a") and ("a", null) would collide without the flags.
    flags = F.concat(*(F.when(F.col(c).isNull(), "1").otherwise("0") for c in columns))
    row_hash = F.when(counts, F.xxhash64(flags, *(F.col(c) for c in columns)))
    return [
        F.count(row_hash).alias("digest_rows"),
        F.sum(row_hash.cast("decimal(20,0)")).alias("digest_sum"),
        F.bit_xor(row_hash).alias("digest_xor"),
    ]


def _read_digest(row: Row) -> Digest:
    return Digest(int(row["digest_rows"]), int(row["digest_sum"] or 0), int(row["digest_xor"] or 0))


_ROWS_A_FILE = 1_000_000


def _lay_out(rows: DataFrame, table: Table, row_count: int) -> DataFrame:
    """Sort rows as the contract says; small tables come to lie in one file."""
    if not table.sort_by:
        return rows
    if row_count <= _ROWS_A_FILE:
        return rows.coalesce(1).sortWithinPartitions(*table.partition_by, *table.sort_by)
    return rows.repartitionByRange(*table.sort_by).sortWithinPartitions(*table.partition_by, *table.sort_by)


def _condition(where: Where) -> str:
    return " AND ".join(f"`{column}` = {quote_sql(value)}" for column, value in where.items()) or "true"


_METADATA_OPTION = "spark.databricks.delta.commitInfo.userMetadata"
_ROW_GROUP_OPTION = "parquet.block.size"


@contextmanager
def _committing(spark: SparkSession, table: Table, stamp: Stamp) -> Iterator[None]:
    """Write job and run id into the commits made meanwhile, and call a lost race by its name.

    Files get row groups of the contract's size. A session's settings reach Parquet's writer through the Hadoop
    configuration of each write; Delta would drop an option of the write itself.
    """
    from delta.exceptions import DeltaConcurrentModificationException

    settings = {_METADATA_OPTION: stamp.to_json()}
    if table.row_group_bytes:
        settings[_ROW_GROUP_OPTION] = str(table.row_group_bytes)
    for name, value in settings.items():
        spark.conf.set(name, value)
    try:
        yield
    except DeltaConcurrentModificationException as error:
        raise LakeBusyError(f"another writer changed the table meanwhile: {error}; run again") from error
    finally:
        for name in settings:
            spark.conf.unset(name)
