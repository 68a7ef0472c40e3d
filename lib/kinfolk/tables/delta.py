"""How Spark writes tables: staged once, measured once, then committed all-or-nothing and safe to repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from kinfolk.errors import ContractError, DataError, LakeBusyError, LossLimitError
from kinfolk.tables.contract import Table, mismatches, quote_sql
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row, SparkSession

REASON = "reject_reason"
DETAIL = "reject_detail"


@dataclass(frozen=True)
class Stamp:
    """Who commits: it stands in the provenance columns of changed rows and in the commit's own metadata."""

    job: str
    run_id: str
    time: datetime

    def columns(self) -> dict[str, Column]:
        """The columns of provenance that this stamp fills."""
        from pyspark.sql import functions as F

        return {"run_id": F.lit(self.run_id), "updated_at": F.lit(self.time)}


@dataclass(frozen=True)
class Digest:
    """Number of rows and an order-free hash of their content: the sum and the xor of 64-bit row hashes.

    Two states of a table with equal digests are taken for equal; for unequal ones the odds against that are 2^64.
    """

    rows: int
    hash_sum: int
    hash_xor: int


@dataclass(frozen=True)
class Staged:
    """A result written to the staging folder once, and what one pass over it counted.

    `rows_seen` counts the rows that were looked at, where the result has no row for those that gave none.
    """

    frame: DataFrame
    good: Digest
    rejected: int
    reasons: dict[str, int]
    rows_seen: int | None = None


def stage(frame: DataFrame, table: Table, folder: str) -> Staged:
    """Write a result to `folder` as Parquet and measure it; whatever made it is computed only once.

    Raises ContractError naming every column that is missing, unknown, of another type, null where it may not
    be, or against a check.
    """
    from pyspark.sql import functions as F

    _check_columns(frame, table)
    for name in (REASON, DETAIL):
        if name not in frame.columns:
            frame = frame.withColumn(name, F.lit(None).cast("string"))
    frame.write.mode("overwrite").parquet(folder)
    staged = frame.sparkSession.read.schema(frame.schema).parquet(folder)
    is_good = F.col(REASON).isNull()
    broken = {
        f"have no {c.name}": F.col(c.name).isNull() for c in table.columns if not c.nullable and c.name in frame.columns
    }
    broken |= {f"break {name}: {check}": ~F.expr(check) for name, check in table.checks.items()}
    counts = [F.count_if(is_good & condition).alias(f"broken_{i}") for i, condition in enumerate(broken.values())]
    row = staged.agg(F.count_if(~is_good).alias("rejected"), *counts, *_digest_columns(table.content, is_good)).first()
    assert row is not None, "an aggregate without keys has one row"
    problems = [f"{row[f'broken_{i}']} rows {words}" for i, words in enumerate(broken) if row[f"broken_{i}"]]
    problems += _repeated_keys(staged.where(is_good), table)
    if problems:
        raise ContractError(f"the rows for {table.name} break its contract: {'; '.join(problems)}")
    rejected = int(row["rejected"])
    return Staged(staged, _read_digest(row), rejected, _count_reasons(staged) if rejected else {})


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


def _repeated_keys(good: DataFrame, table: Table) -> list[str]:
    from pyspark.sql import functions as F

    repeated = good.groupBy(*table.key).agg(F.count("*").alias("times")).where("times > 1").limit(3).collect()
    return [f"key {tuple(row[k] for k in table.key)} comes {row['times']} times" for row in repeated]


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


def count_deleted(staged: Staged, table: Table, lake: Lake) -> int:
    """Rows of the table as it stands whose key the staged result no longer has."""
    current = _load(staged.frame.sparkSession, lake.path(table.name))
    good = staged.frame.where(f"{REASON} IS NULL").select(*table.key)
    return current.select(*table.key).join(good, list(table.key), "left_anti").count()


def is_current(staged: Staged, table: Table, lake: Lake, where: dict[str, str] | None = None) -> bool:
    """Whether the table, or its slice `where`, holds the staged content already."""
    standing = lake.count_rows(table, where or {})
    if standing is not None and standing != staged.good.rows:
        return False
    if not staged.good.rows:
        return True
    current = _load(staged.frame.sparkSession, lake.path(table.name))
    return digest(current.where(_condition(where or {})), table.content) == staged.good


def commit_sync(staged: Staged, table: Table, lake: Lake, stamp: Stamp) -> None:
    """Make the table hold exactly the staged good rows: insert, update what differs, delete what is gone."""
    spark, path = staged.frame.sparkSession, lake.path(table.name)
    rows = _committable(staged, table, stamp)
    with _committing(spark, table, stamp):
        if lake.snapshot(table).rows == 0:
            _lay_out(rows, table, staged.good.rows).write.format("delta").mode("append").save(path)
            return
        from delta.tables import DeltaTable

        differs = " OR ".join(f"NOT (t.`{c}` <=> s.`{c}`)" for c in table.content if c not in table.key) or "false"
        merge = (
            DeltaTable.forPath(spark, path)
            .alias("t")
            .merge(rows.alias("s"), " AND ".join(f"t.`{k}` = s.`{k}`" for k in table.key))
        )
        merge.whenMatchedUpdateAll(condition=differs).whenNotMatchedInsertAll().whenNotMatchedBySourceDelete().execute()


def commit_replace(staged: Staged, table: Table, lake: Lake, stamp: Stamp, where: dict[str, str]) -> None:
    """Put the staged good rows in the place of the table's slice whose columns have the values of `where`."""
    rows = _lay_out(_committable(staged, table, stamp), table, staged.good.rows)
    writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", _condition(where))
    with _committing(rows.sparkSession, table, stamp):
        writer.save(lake.path(table.name))


def rejected_frame(staged: Staged, target: Table, key: tuple[str, ...], job: str) -> DataFrame:
    """The rows turned away, in the shape of rejected_rows."""
    from pyspark.sql import functions as F

    return staged.frame.where(F.col(REASON).isNotNull()).select(
        F.lit(job).alias("job"),
        F.lit(target.name).alias("target_table"),
        F.to_json(F.struct(*key)).alias("row_key"),
        F.col(REASON).alias("reason"),
        F.substring(F.col(DETAIL), 1, 200).alias("detail"),
    )


def _committable(staged: Staged, table: Table, stamp: Stamp) -> DataFrame:
    added = {name: column for name, column in stamp.columns().items() if name in table.column_names}
    return staged.frame.where(f"{REASON} IS NULL").withColumns(added).select(*table.column_names)


_ROWS_A_FILE = 1_000_000


def _lay_out(rows: DataFrame, table: Table, row_count: int) -> DataFrame:
    """Sort rows as the contract says; small tables come to lie in one file."""
    if not table.sort_by:
        return rows
    if row_count <= _ROWS_A_FILE:
        return rows.coalesce(1).sortWithinPartitions(*table.partition_by, *table.sort_by)
    return rows.repartitionByRange(*table.sort_by).sortWithinPartitions(*table.partition_by, *table.sort_by)


def _load(spark: SparkSession, path: str) -> DataFrame:
    return spark.read.format("delta").load(path)


def _condition(where: dict[str, str]) -> str:
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

    settings = {_METADATA_OPTION: json.dumps({"job": stamp.job, "run_id": stamp.run_id})}
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


def check_limits(
    staged: Staged, table: Table, deleted: int, standing: int, max_rejected: float, max_deleted: float
) -> None:
    """Raise LossLimitError, naming the commonest reasons, when a run would lose more than the settings allow."""
    rows = staged.rows_seen or staged.good.rows + staged.rejected
    if staged.rejected > max_rejected * rows:
        commonest = ", ".join(f"{reason} {count:,}" for reason, count in list(staged.reasons.items())[:3])
        raise LossLimitError(
            f"{table.name}: {staged.rejected:,} of {rows:,} rows would be rejected ({staged.rejected / rows:.1%}; "
            f"allowed: {max_rejected:.1%}), most of them for: {commonest}. Nothing was committed. Mend the source or "
            "its settings, or raise limits.max_rejected_share"
        )
    if deleted > max_deleted * standing:
        raise LossLimitError(
            f"{table.name}: {deleted:,} of its {standing:,} rows would be deleted ({deleted / standing:.1%}; allowed: "
            f"{max_deleted:.1%}). Nothing was committed. See whether a source is missing, or raise "
            "limits.max_deleted_share"
        )


def check_conserved(staged: Staged, table: Table, rows_in: int) -> None:
    """Raise DataError unless rows in = rows out + rows rejected."""
    rows_out = staged.good.rows + staged.rejected
    if rows_out != rows_in:
        raise DataError(
            f"{table.name}: {rows_in:,} rows went in, but {staged.good.rows:,} came out and {staged.rejected:,} were "
            f"rejected, {abs(rows_in - rows_out):,} {'lost' if rows_out < rows_in else 'too many'}; nothing was "
            "committed"
        )
