"""The similarity join over DataFrames: pairs above a threshold, nearest neighbours, and identical items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING

from kinfolk.errors import DataError
from kinfolk.settings import JoinSettings
from kinfolk.similarity.cluster import read_found, run_join
from kinfolk.similarity.forecast import Forecast
from kinfolk.similarity.incremental import JoinState, NightFound, join_changes
from kinfolk.similarity.recall import CERTAIN, Recall
from kinfolk.similarity.task import Report, SideCount
from kinfolk.tasks.machines import open_scratch

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


_KINDS = ("pairs", "neighbors", "copies", "rejected", "digests")


@dataclass(frozen=True)
class JoinAudit:
    """What a join was given, how it went about it, and what it found.

    `compared` are the distinct items of the left side that were compared with all others: all of them, or of a night
    those that the changes concern. `recall` is measured where something may have been missed. `seconds` says how long
    each step took, of several tasks the slowest one; `forecast` is what was expected of it.
    """

    measure: str
    plan: str
    left: SideCount
    right: SideCount | None
    pairs: int
    neighbors: int
    compared: int
    recall: Recall
    tasks: int
    threads: int
    seconds: dict[str, float]
    forecast: Forecast

    @property
    def items(self) -> int:
        """Items of both sides."""
        return self.left.items + (self.right.items if self.right else 0)

    @property
    def is_exact(self) -> bool:
        """Whether nothing can have been missed."""
        return self.recall == CERTAIN


@dataclass(frozen=True)
class JoinResult:
    """What a join found, as frames of files, each read when it is first asked for; `close` removes the files.

    A side is "left" or "right"; a join with itself has only the left one.
    """

    audit: JoinAudit
    close: Callable[[], None]
    _frames: Mapping[str, Callable[[], DataFrame]]

    @property
    def pairs(self) -> DataFrame:
        """left_id, right_id, similarity; in a join with itself left_id < right_id."""
        return self._frames["pairs"]()

    @property
    def neighbors(self) -> DataFrame:
        """item_id, rank (from 1), neighbor_id, similarity."""
        return self._frames["neighbors"]()

    @property
    def copies(self) -> DataFrame:
        """side, item_id, representative_id: copies take no part in pairs and neighbours, their representative does."""
        return self._frames["copies"]()

    @property
    def rejected(self) -> DataFrame:
        """side, item_id, reject_reason, reject_detail."""
        return self._frames["rejected"]()

    @property
    def state(self) -> JoinState:
        """What the next join needs to look at changes only."""
        return JoinState(self._frames["digests"](), self.pairs, self.neighbors)


def similar_pairs(
    left: DataFrame,
    right: DataFrame | None = None,
    *,
    settings: JoinSettings,
    previous: JoinState | None = None,
    scratch: str | None = None,
    hear: Callable[[Forecast], None] = lambda _: None,
) -> JoinResult:
    """Join items with themselves, or with those of another frame.

    A frame has item_id and what is compared: embedding (array of floats) under a measure of vectors, text (string) or
    tokens (array of strings or integers) under a measure of sets; and the column that `settings.blocking` names, if it
    names one: then only items with an equal value there are compared. With the state that an earlier join left, only
    what changed since is compared; the result is that of a join of everything. `scratch` is a folder that the driver
    and all executors reach, for results on their way; on one machine a temporary one serves. `hear` is given the
    forecast of the plan that was chosen before the work begins.

    Raises DataError where an id comes twice, and where more pairs reach the threshold than `settings.max_pairs` or more
    memory is needed than `settings.max_memory`: before the work begins where that is certain.
    """
    spark = left.sparkSession
    rows = _select_rows(left, right, settings)
    folder, remove = open_scratch(spark, scratch, name="join")
    try:
        night = previous and join_changes(rows, previous, settings, folder, is_self_join=right is None, hear=hear)
        reports = night.reports if night else run_join(rows, settings, folder, is_self_join=right is None, hear=hear)
        audit = _add_up(reports, settings)
        _check_budget(audit, settings)
        frames: dict[str, Callable[[], DataFrame]]
        frames = {kind: cache(partial(read_found, spark, kind, reports)) for kind in _KINDS}
        if night:
            frames |= {"pairs": lambda: night.pairs, "neighbors": lambda: night.neighbors}
            audit = _count_kept(audit, night)
            _check_budget(audit, settings)
    except BaseException:
        remove()
        raise
    return JoinResult(audit, remove, frames)


def _select_rows(left: DataFrame, right: DataFrame | None, settings: JoinSettings) -> DataFrame:
    """The rows of both sides: is_right, item_id, value, and block in a join within blocks."""
    rows = left.selectExpr("false AS is_right", *_columns(left, settings))
    return rows if right is None else rows.union(right.selectExpr("true AS is_right", *_columns(right, settings)))


def _columns(frame: DataFrame, settings: JoinSettings) -> list[str]:
    """What is read of a row."""
    columns = ["item_id", f"`{_value_column(frame, settings)}` AS value"]
    if settings.blocking is None:
        return columns
    if settings.blocking not in frame.columns:
        raise DataError(
            f"the columns are {', '.join(frame.columns)}; the join is within blocks of equal {settings.blocking} "
            f"({settings.section}.blocking): add that column, or name another"
        )
    return [*columns, f"CAST(`{settings.blocking}` AS STRING) AS block"]


def _value_column(frame: DataFrame, settings: JoinSettings) -> str:
    """The column that is compared."""
    allowed = ["embedding"] if settings.compares_vectors else ["text", "tokens"]
    there = [name for name in allowed if name in frame.columns]
    if len(there) != 1 or "item_id" not in frame.columns:
        raise DataError(
            f"the columns are {', '.join(frame.columns)}; a join under {settings.measure} needs item_id and "
            f"{' or '.join(allowed)}, one of them: rename or select"
        )
    return there[0]


def _add_up(reports: list[Report], settings: JoinSettings) -> JoinAudit:
    first = reports[0]
    steps = {step for report in reports for step in report.seconds}
    return JoinAudit(
        measure=settings.measure,
        plan=first.plan,
        left=first.left,
        right=first.right,
        pairs=sum(report.pairs for report in reports),
        neighbors=sum(report.neighbors for report in reports),
        compared=first.left.distinct,
        recall=first.recall,
        tasks=len(reports),
        threads=first.threads,
        seconds={step: max(report.seconds.get(step, 0.0) for report in reports) for step in sorted(steps)},
        forecast=first.forecast,
    )


def _count_kept(audit: JoinAudit, night: NightFound) -> JoinAudit:
    """The audit of a night, with what it kept."""
    return replace(
        audit,
        pairs=night.pairs.count(),
        neighbors=night.neighbors.count(),
        compared=night.due,
        recall=night.recall,
    )


def _check_budget(audit: JoinAudit, settings: JoinSettings) -> None:
    if audit.pairs > settings.max_pairs:
        raise DataError(
            f"at least {audit.pairs:,} pairs have a {settings.measure} similarity beyond the threshold of "
            f"{settings.threshold}; {settings.section}.max_pairs allows {settings.max_pairs:,}. Nothing was written. "
            f"Raise {settings.section}.threshold, or {settings.section}.max_pairs where disk and time allow for it (a "
            "pair takes about 100 bytes while it is being sorted)"
        )
