"""What the join and match jobs would do with the lake as it stands: every plan with its forecast, without Spark.

The rows are read and the plan is made as the job does it, on this machine; only the work is left out.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from kinfolk.jobs.sides import find_sides, read_rows
from kinfolk.settings import JoinSettings, Settings, SideSettings
from kinfolk.similarity.forecast import Forecast, find_excess, spread_forecast
from kinfolk.similarity.task import SideCount, prepare_join

_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class PlanOfJoin:
    """The plans that a join may take, the chosen one first, and why; `excess` says which budget it would not keep.

    `others` are the items of the right side, None in a join of items with themselves.
    """

    items: SideCount
    others: SideCount | None
    forecasts: list[Forecast]
    reason: str
    excess: str | None


def plan_join(settings: Settings) -> PlanOfJoin:
    """Forecast the join of what stands in the lake. Raises NotFoundError where there is no such table."""
    wanted = settings.similarity
    return _plan(read_rows(SideSettings(modality=wanted.modality), wanted, settings), wanted, settings)


def plan_match(settings: Settings) -> PlanOfJoin:
    """Forecast the match of what stands in the lake. Raises NotFoundError where there is no such table."""
    wanted = settings.matching
    left, right = (read_rows(side, wanted, settings) for side in find_sides(wanted))
    is_right = pa.array(np.arange(left.num_rows + right.num_rows) >= left.num_rows)
    return _plan(pa.concat_tables([left, right]).append_column("is_right", is_right), wanted, settings)


def _plan(rows: pa.Table, wanted: JoinSettings, settings: Settings) -> PlanOfJoin:
    """Forecast the join of rows: item_id, value, block if there is one, and is_right where there are two sides."""
    # What goes beyond a budget is told beside the plans, not instead of them.
    open_ended = wanted.model_copy(update={"max_pairs": _NO_LIMIT, "max_memory": _NO_LIMIT})
    cores = _count_cores(settings.spark.master)
    tasks = _count_tasks(wanted, settings.spark.master, rows.num_rows, cores)
    with threadpool_limits(1):
        prepared = prepare_join(
            rows,
            open_ended,
            is_self_join="is_right" not in rows.column_names,
            threads=wanted.threads or cores,
            is_shared=tasks > 1,
            is_forecast_needed=True,
        )
    forecasts = prepared.join.forecasts
    if tasks > 1:
        threads = wanted.threads or 1
        forecasts = [spread_forecast(told, tasks=tasks, threads=threads, speed=1.0) for told in forecasts]
    others = prepared.right.count if prepared.right else None
    reason, excess = _tell_reason(forecasts, wanted), find_excess(forecasts[0], wanted)
    return PlanOfJoin(prepared.left.count, others, forecasts, reason, excess)


def _tell_reason(forecasts: list[Forecast], settings: JoinSettings) -> str:
    """Why the first of the plans is chosen."""
    chosen = forecasts[0].plan
    if settings.plan != "auto":
        return f"{settings.section}.plan says {settings.plan}"
    if settings.recall == 1:
        return f"{settings.section}.recall is 1: all has to be found"
    if len(forecasts) == 1:
        return f"no other plan can find part of the pairs under {settings.measure}"
    return f"{chosen} has the least work of the plans that reach a recall of {settings.recall:g}"


def _count_tasks(settings: JoinSettings, master: str, rows: int, cores: int) -> int:
    """Tasks that would share the work, if Spark had so many cores."""
    most = settings.one_task_rows
    if most is None and master.startswith("local"):
        return 1
    from kinfolk.similarity.cluster import ONE_TASK_ROWS, TASKS_A_CORE

    return 1 if rows <= (ONE_TASK_ROWS if most is None else most) else TASKS_A_CORE * cores


def _count_cores(master: str) -> int:
    """Cores that Spark would have on one machine; those of this machine where the master does not say.

    >>> _count_cores("local[3]")
    3
    """
    named = re.fullmatch(r"local\[(\d+).*\]", master)
    if named:
        return int(named[1])
    return 1 if master == "local" else os.cpu_count() or 1
