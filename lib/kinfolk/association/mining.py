"""Mining on Spark: baskets go to one Python task, which searches, derives, and leaves the tables as files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema

from kinfolk.association.baskets import LISTS
from kinfolk.association.changes import Known
from kinfolk.association.partitions import count_tasks, mine_parts
from kinfolk.association.rows import check_categories, check_measures, select_rows
from kinfolk.association.task import Report, mine_all, mine_changes
from kinfolk.association.taxonomy import CATEGORY
from kinfolk.association.windows import require_times
from kinfolk.errors import SettingsError
from kinfolk.settings import AssociationSettings
from kinfolk.tables.scans import find_scans, read_frame
from kinfolk.tasks.files import read_file
from kinfolk.tasks.machines import count_cores, open_scratch
from kinfolk.tasks.single import Read, run_single

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class MiningState:
    """What a run leaves for the next one: known itemsets, as rows of `changes.STATE`, of so many baskets.

    They are all that at least `border` of them hold.
    """

    known: DataFrame
    basket_count: int
    border: int


@dataclass(frozen=True)
class MiningResult:
    """Itemsets and rules as frames with the content of their tables, and what was counted on the way.

    `state` is None unless `settings.margin` asks for one. The frames read files that `close` removes.
    """

    itemsets: DataFrame
    rules: DataFrame
    state: MiningState | None
    report: Report
    close: Callable[[], None]


def mine_baskets(
    baskets: DataFrame,
    settings: AssociationSettings,
    *,
    until: dt.date | None = None,
    categories: DataFrame | None = None,
    scratch: str | None = None,
) -> MiningResult:
    """Find every frequent itemset of the baskets, and the rules that are confident enough.

    `baskets` has either a basket in each row, with its items in an array `items`, or an item in each row: basket_id,
    item_id, item_name if names are known and, where `settings.window_days` is set, event_time. The window ends with the
    day `until`, UTC. An empty array is a basket; an array that is null is none. Rows without a basket or an item are
    left out, in a window also those without a time. Where `settings.categories` is set, a column `category` of lines,
    or else the frame `categories` (item_id, category), says what each item is, and ids come out as texts. `scratch` is
    a folder that the driver and all executors reach, for results on their way; on one machine a temporary one serves.

    Raises SettingsError for a measure that there is not, for a window without an end, and for categories that are given
    and not set or the other way round; DataError where there are more itemsets or rules than the settings allow, and
    where no row of a window has a time, or no item a category.
    """
    check_measures(settings)
    check_categories(categories, baskets, settings)
    told = None if categories is None else read_frame(categories.select("item_id", CATEGORY), threads=1)
    rows = select_rows(baskets, settings, until)
    folder, remove = open_scratch(baskets.sparkSession, scratch, name="mine")
    try:
        report = _mine(rows, told, settings, folder)
        if not report.basket_count and settings.window_days is not None:
            require_times(baskets, section="association")
        return _gather(baskets.sparkSession, report, remove)
    except BaseException:
        remove()
        raise


def update_baskets(
    state: MiningState,
    came: DataFrame,
    went: DataFrame | None,
    settings: AssociationSettings,
    *,
    scratch: str | None = None,
) -> MiningResult | None:
    """What `mine_baskets` finds after some baskets came and others went, without a look at the rest.

    Both are given as it takes them, baskets as a whole: a basket that changed went and came. The settings have to be
    those that left the state. None where all baskets have to be mined again: where a set might be frequent now that was
    not known. It is the driver that counts: what changes in a night is little beside what stands.

    Raises SettingsError where baskets are held out or checked for a confounder, which takes all of them, and where
    categories count, as an item's may be another one tonight.
    """
    if settings.categories:
        raise SettingsError(
            "association.categories needs all baskets: an item that changes its category changes those that stand; "
            "mine them all, or leave it out"
        )
    if settings.holdout_share or settings.confounder is not None or settings.top_itemsets or settings.raises_support:
        raise SettingsError(
            "association.holdout_share, confounder, top_itemsets and raises_support need all baskets: mine them all, "
            "or leave these out"
        )
    check_measures(settings)
    spark = state.known.sparkSession
    threads = settings.threads or count_cores(spark)
    changed = [select_rows(frame, settings, None) for frame in (came, came.limit(0) if went is None else went)]
    id_type = (
        to_arrow_schema(changed[0].schema).field(0).type.value_type if LISTS in changed[0].columns else pa.string()
    )
    rows = read_frame(state.known, threads=threads)
    known = Known.from_table(rows, basket_count=state.basket_count, border=state.border, id_type=id_type)
    folder, remove = open_scratch(spark, scratch, name="mine")
    try:
        report = mine_changes(
            known,
            lambda: tuple(read_frame(frame, threads=threads) for frame in changed),
            settings,
            threads=threads,
            scratch=folder,
        )
        if report is not None:
            return _gather(spark, report, remove)
    except BaseException:
        remove()
        raise
    remove()
    return None


def _gather(spark: SparkSession, report: Report, remove: Callable[[], None]) -> MiningResult:
    frames = {kind: read_file(spark, file) for kind, file in report.files.items()}
    state = MiningState(frames["known"], report.basket_count, report.border) if "known" in frames else None
    return MiningResult(frames["itemsets"], frames["rules"], state, report, remove)


def _mine(rows: DataFrame, categories: pa.Table | None, settings: AssociationSettings, folder: str) -> Report:
    scans = find_scans(rows)
    tasks = count_tasks(rows, scans, settings)
    if tasks > 1:
        return mine_parts(rows, categories, settings, tasks=tasks, scratch=folder)
    threads = settings.threads or count_cores(rows.sparkSession)

    def mine(read: Read) -> str:
        return mine_all(read, settings, threads=threads, scratch=folder, categories=categories).to_json()

    return Report.from_json(run_single(rows, scans, mine, threads=threads))
