"""What brings in the money, on Spark: lines go to one Python task, which searches, and leaves the table as a file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kinfolk.association.utility.task import ValueReport, mine_lines
from kinfolk.association.utility.worth import NEEDED
from kinfolk.association.windows import require_times, select_window
from kinfolk.errors import DataError
from kinfolk.settings import UtilitySettings
from kinfolk.tables.scans import find_scans
from kinfolk.tasks.files import read_file
from kinfolk.tasks.machines import count_cores, open_scratch
from kinfolk.tasks.single import Read, run_single

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class ValueResult:
    """The itemsets that bring in the most, as a frame with the content of valuable_itemsets, and what was counted.

    The frame reads a file that `close` removes.
    """

    itemsets: DataFrame
    report: ValueReport
    close: Callable[[], None]


def mine_values(
    lines: DataFrame, settings: UtilitySettings, *, until: dt.date | None = None, scratch: str | None = None
) -> ValueResult:
    """Find every itemset that brings in enough: what its items cost in the baskets that hold all of them.

    `lines` has an item of a basket in each row: basket_id, item_id, quantity and price, of one, as whole or decimal
    numbers, item_name if names are known and, where `settings.window_days` is set, event_time. The window ends with the
    day `until`, UTC. Lines of an item that a basket has already add to what it costs there; lines that lack a basket,
    an item, a quantity or a price are left out and counted in the report, in a window also those without a time, which
    are not. `scratch` is a folder that the driver and all executors reach, for results on their way; on one machine a
    temporary one serves.

    Raises SettingsError for a window without an end; DataError where a column is missing or not exact, for a quantity
    or a price below 0, where no line is complete, where sums go beyond 64 bits, and where there are more itemsets than
    the settings allow (Liu and Qu, Mining high utility itemsets without candidate generation, CIKM 2012).
    """
    missing = [name for name in NEEDED if name not in lines.columns]
    if missing:
        raise DataError(
            f"the columns are {', '.join(lines.columns)}; what brings in the money is told by {', '.join(NEEDED)}: "
            "rename or select"
        )
    rows = select_window(lines, settings.window_days, until, section="utility")
    rows = rows.select(*NEEDED, *(["item_name"] if "item_name" in lines.columns else []))
    spark = lines.sparkSession
    threads = settings.threads or count_cores(spark)
    folder, remove = open_scratch(spark, scratch, name="value")

    def work(read: Read) -> str:
        return mine_lines(read, settings, threads=threads, scratch=folder).to_json()

    try:
        report = ValueReport.from_json(run_single(rows, find_scans(rows), work, threads=threads))
        if not report.basket_count and settings.window_days is not None:
            require_times(lines, section="utility")
        return ValueResult(read_file(spark, report.file), report, remove)
    except BaseException:
        remove()
        raise
