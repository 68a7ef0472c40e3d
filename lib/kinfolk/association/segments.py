"""Mining the baskets of each segment apart: of each country, shop, or month."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import reduce
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from kinfolk.association.baskets import LISTS
from kinfolk.association.forecast import count_least
from kinfolk.association.labels import itemset_schema, rule_schema
from kinfolk.association.partitions import count_tasks
from kinfolk.association.rows import SEGMENT, check_categories, check_measures, select_rows
from kinfolk.association.task import describe_found, find_all
from kinfolk.association.windows import require_times
from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import AssociationSettings
from kinfolk.tables.scans import find_scans
from kinfolk.tasks.files import RowFile, read_file
from kinfolk.tasks.machines import count_cores, count_task_cores, open_scratch
from kinfolk.tasks.reports import Clock, run_tasks
from kinfolk.tasks.single import Read, run_single

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class SegmentReport:
    """How many baskets a segment has, and what was found in them; nothing where they are too few to be mined."""

    segment: str
    basket_count: int
    is_mined: bool
    itemsets: int
    rules: int


@dataclass(frozen=True)
class SegmentResult:
    """Itemsets and rules of all segments, each with its `segment`; the frames read files that `close` removes."""

    itemsets: DataFrame
    rules: DataFrame
    segments: list[SegmentReport]
    close: Callable[[], None]


def mine_segments(
    baskets: DataFrame,
    settings: AssociationSettings,
    *,
    until: dt.date | None = None,
    scratch: str | None = None,
) -> SegmentResult:
    """Find in the baskets of each segment what `mine_baskets` finds in all.

    A segment is a value of the column `settings.segment_by`, or a period of `event_time`; rows without one are left
    out. Shares and tests are of the baskets of a segment, and budgets hold for each of them; a frequent itemset is in
    `settings.min_segment_count` of them at least. A segment is mined by one
    task; where rows are many, several tasks share the segments. The rest is as of `mine_baskets`.

    Raises SettingsError where no segment is named, and what `mine_baskets` raises, with the name of the segment.
    """
    if settings.segment_by is None:
        raise SettingsError("association.segment_by names no column: say which one holds the segments, such as segment")
    check_measures(settings)
    check_categories(None, baskets, settings)
    rows = select_rows(baskets, settings, until, segment=settings.segment_by).where(F.col(SEGMENT).isNotNull())
    if settings.window_days is not None and rows.isEmpty():
        require_times(baskets, section="association")
    folder, remove = open_scratch(baskets.sparkSession, scratch, name="segments")
    try:
        told = [json.loads(text) for text in _run(rows, settings, folder)]
        itemsets, rules = (_read(rows.sparkSession, [some[kind] for some in told]) for kind in ("itemsets", "rules"))
    except BaseException:
        remove()
        raise
    segments = sorted((SegmentReport(**one) for some in told for one in some["segments"]), key=lambda one: one.segment)
    return SegmentResult(itemsets, rules, segments, remove)


def _run(rows: DataFrame, settings: AssociationSettings, folder: str) -> list[str]:
    """What tasks say of the segments that they mined."""
    spark, scans = rows.sparkSession, find_scans(rows)
    tasks = count_tasks(rows, scans, settings)
    if tasks == 1:
        cores = settings.threads or count_cores(spark)

        def mine(read: Read) -> str:
            return _mine_table(read(), settings, cores, folder)

        return [run_single(rows, scans, mine, threads=cores)]
    threads = settings.threads or count_task_cores(spark)

    def share(given: list[pa.RecordBatch]) -> Iterable[str]:
        return [_mine_table(pa.Table.from_batches(given), settings, threads, folder)] if given else []

    return run_tasks(rows.repartition(tasks, SEGMENT), share)


def _mine_table(table: pa.Table, settings: AssociationSettings, threads: int, folder: str) -> str:
    """Mine all segments of a table, one after the other, into two files; as JSON."""
    ids = table.schema.field(LISTS).type.value_type if LISTS in table.column_names else pa.string()
    with ExitStack() as stack:
        schemas = _with_segment(itemset_schema(ids)), _with_segment(rule_schema(ids))
        itemsets, rules = (stack.enter_context(RowFile(folder, schema)) for schema in schemas)
        told = [
            _mine_segment(segment, rows, settings, threads, itemsets, rules)
            for segment, rows in _divide(table.combine_chunks())
        ]
    return json.dumps({"itemsets": itemsets.path, "rules": rules.path, "segments": [asdict(one) for one in told]})


def _mine_segment(
    segment: str, rows: pa.Table, settings: AssociationSettings, threads: int, itemsets: RowFile, rules: RowFile
) -> SegmentReport:
    """Mine a segment if it is large enough, and write what is found behind that of the others."""
    baskets = len(rows) - rows[LISTS].null_count if LISTS in rows.column_names else len(rows["basket_id"].unique())
    if baskets < settings.min_segment_baskets:
        return SegmentReport(segment, baskets, is_mined=False, itemsets=0, rules=0)
    before = itemsets.rows, rules.rows
    if count_least(settings, baskets) < settings.min_segment_count:
        settings = settings.model_copy(update={"min_count": settings.min_segment_count})
    try:
        found, evidence = find_all(lambda: rows, settings, threads=threads, clock=Clock())
        described = describe_found(found, evidence, settings)
        for file, parts in ((itemsets, described.itemsets), (rules, described.rules)):
            for part in parts:
                file.write(part.add_column(0, SEGMENT, pa.repeat(segment, len(part))))
    except DataError as error:
        raise DataError(f"segment {segment}: {error}") from None
    written = {"itemsets": itemsets.rows - before[0], "rules": rules.rows - before[1]}
    return SegmentReport(segment, baskets, is_mined=True, **written)


def _divide(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each segment."""
    order = pc.sort_indices(table[SEGMENT])
    table = table.take(order)
    tally = table[SEGMENT].combine_chunks().value_counts() if len(table) else []
    start = 0
    for entry in tally:
        segment, rows = entry["values"].as_py(), entry["counts"].as_py()
        yield segment, table.slice(start, rows).drop_columns([SEGMENT])
        start += rows


def _with_segment(schema: pa.Schema) -> pa.Schema:
    return schema.insert(0, pa.field(SEGMENT, pa.string()))


def _read(spark: SparkSession, paths: list[str]) -> DataFrame:
    """The rows of some files, one after the other."""
    return reduce(DataFrame.unionAll, (read_file(spark, path) for path in paths))
