"""What one Spark task does: it joins all items, or takes a share of a join that the driver has prepared.

Tasks write what they find into files, and send only the names of the files and what was counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kinfolk.settings import JoinSettings
from kinfolk.similarity.blocks import number_blocks
from kinfolk.similarity.effort import WHOLE, Share
from kinfolk.similarity.forecast import Forecast, check_reading
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.items import (
    Items,
    Join,
    collapse_items,
    digest_items,
    plan_items,
    read_items,
)
from kinfolk.similarity.recall import CERTAIN, Recall, draw_rows, measure_recall
from kinfolk.tasks.files import ROWS_AT_A_TIME, write_rows
from kinfolk.tasks.reports import Clock

PAIRS = pa.schema([("left_id", pa.string()), ("right_id", pa.string()), ("similarity", pa.float64())])
NEIGHBORS = pa.schema(
    [("item_id", pa.string()), ("rank", pa.int32()), ("neighbor_id", pa.string()), ("similarity", pa.float64())]
)
COPIES = pa.schema([("side", pa.string()), ("item_id", pa.string()), ("representative_id", pa.string())])
REJECTED = pa.schema(
    [("side", pa.string()), ("item_id", pa.string()), ("reject_reason", pa.string()), ("reject_detail", pa.string())]
)
DIGESTS = pa.schema([("side", pa.string()), ("item_id", pa.string()), ("digest", pa.int64())])
SCHEMAS = {
    "pairs": PAIRS,
    "neighbors": NEIGHBORS,
    "offers": NEIGHBORS,
    "copies": COPIES,
    "rejected": REJECTED,
    "digests": DIGESTS,
}


@dataclass(frozen=True)
class SideCount:
    """Items of one side: items = distinct + copies + rejected."""

    items: int
    distinct: int
    copies: int
    rejected: int

    def describe(self) -> str:
        """The counts in words."""
        return f"{self.items:,} items: {self.distinct:,} distinct, {self.copies:,} copies, {self.rejected:,} rejected"


@dataclass(frozen=True)
class Report:
    """What a task has to say: the files it wrote, what it counted and expected, and how long each step took."""

    files: dict[str, list[str]]
    plan: str
    left: SideCount
    right: SideCount | None
    pairs: int
    neighbors: int
    recall: Recall
    threads: int
    seconds: dict[str, float]
    forecast: Forecast

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Report:
        """Read a report back."""
        values = json.loads(text)
        sides = {name: SideCount(**values[name]) if values[name] else None for name in ("left", "right")}
        rest = {"recall": Recall(**values["recall"]), "forecast": Forecast.from_json(values["forecast"])}
        return Report(**values | sides | rest)


@dataclass(frozen=True)
class Side:
    """One side of a join, ready to be compared; and its rows that are not: copies and rejected ones."""

    items: Items
    copies: pa.Table
    rejected: pa.Table

    @property
    def count(self) -> SideCount:
        """How many items there are of each sort."""
        rows = len(self.items) + self.copies.num_rows + self.rejected.num_rows
        return SideCount(rows, len(self.items), self.copies.num_rows, self.rejected.num_rows)


@dataclass(frozen=True)
class Prepared:
    """A join whose sides were checked and whose plan was made."""

    left: Side
    right: Side | None
    join: Join

    @property
    def base(self) -> Side:
        """The side that the left one is compared with."""
        return self.right or self.left

    def report(
        self,
        files: dict[str, list[str]],
        found: tuple[Pairs, Neighbors],
        *,
        recall: Recall,
        threads: int,
        clock: Clock,
    ) -> Report:
        """What a task has to say that found these and wrote these files."""
        pairs, neighbors = found
        return Report(
            files,
            self.join.plan,
            self.left.count,
            self.right.count if self.right else None,
            len(pairs),
            int((neighbors.code_NK >= 0).sum()),
            recall,
            threads,
            clock.seconds,
            self.join.forecasts[0],
        )


def prepare_join(
    rows: pa.Table,
    settings: JoinSettings,
    *,
    is_self_join: bool,
    threads: int,
    is_shared: bool,
    is_forecast_needed: bool | None = None,
) -> Prepared:
    """Check the rows of both sides, set identical ones apart, and make the plan.

    Raises DataError where the join would certainly go beyond its budgets.
    """
    left, right = prepare_sides(rows, settings, is_self_join=is_self_join, threads=threads)
    others = right.items if right else None
    join = plan_items(
        left.items,
        others,
        settings,
        threads=threads,
        is_shared=is_shared,
        is_forecast_needed=is_forecast_needed,
    )
    return Prepared(left, right, join)


def prepare_sides(
    rows: pa.Table, settings: JoinSettings, *, is_self_join: bool, threads: int
) -> tuple[Side, Side | None]:
    """Check the rows of both sides (is_right, item_id, value), and set identical ones apart.

    In a join within blocks rows have a block as well, by its name. Raises DataError where there is no memory to read
    them.
    """
    check_reading(rows, settings)
    if settings.blocking is not None:
        rows = number_blocks(rows)
    if is_self_join:
        return _prepare(rows, settings, threads), None
    is_right = rows["is_right"]
    left, right = rows.filter(pc.invert(is_right)), rows.filter(is_right)
    return _prepare(left, settings, threads), _prepare(right, settings, threads)


def _prepare(rows: pa.Table, settings: JoinSettings, threads: int) -> Side:
    items, rejected = read_items(rows, settings)
    distinct, copies = collapse_items(items, threads=threads)
    return Side(distinct, copies, rejected)


def join_all(
    read: Callable[[], pa.Table],
    settings: JoinSettings,
    *,
    is_self_join: bool,
    threads: int,
    scratch: str,
    tell: Callable[[Forecast], None],
) -> Report:
    """Join all rows that are read (is_right, item_id, value): the whole work in one task, which tells its forecast."""
    clock = Clock()
    rows = read()
    clock.stop("read")
    prepared = prepare_join(rows, settings, is_self_join=is_self_join, threads=threads, is_shared=False)
    del rows
    tell(prepared.join.forecasts[0])
    clock.stop("prepare")
    return join_share(prepared, settings, WHOLE, scratch=scratch, clock=clock, threads=threads)


def join_share(
    prepared: Prepared, settings: JoinSettings, share: Share, *, scratch: str, clock: Clock, threads: int
) -> Report:
    """Take a share of a join, and write what it finds; the first one also writes who takes no part, and measures."""
    pairs, neighbors = prepared.join.find(share, threads=threads)
    clock.stop("join")
    recall = CERTAIN
    if share == WHOLE:
        recall = measure_join(prepared, settings, pairs, neighbors, threads=threads)
    clock.stop("measure")
    left_ids, base_ids = prepared.left.items.ids, prepared.base.items.ids
    files = {}
    if len(pairs) <= settings.max_pairs:
        files["pairs"] = [write_rows(scratch, PAIRS, tell_pairs(pairs, left_ids, base_ids))]
        files["neighbors"] = [write_rows(scratch, NEIGHBORS, tell_neighbors(neighbors, left_ids, base_ids))]
    if share[0] == 0:
        files |= write_sides(prepared, settings, scratch)
    clock.stop("write")
    return prepared.report(files, (pairs, neighbors), recall=recall, threads=threads, clock=clock)


def measure_join(
    prepared: Prepared, settings: JoinSettings, pairs: Pairs, neighbors: Neighbors, *, threads: int
) -> Recall:
    """The recall of what was found, measured on rows drawn at random."""
    if prepared.join.is_exact:
        return CERTAIN
    population = len(prepared.left.items)
    truth = prepared.join.probe(draw_rows(population, settings.probes, seed=settings.seed), threads=threads)
    return measure_recall(truth, pairs, neighbors, is_self_join=prepared.right is None, population=population)


def no_rows(settings: JoinSettings) -> pa.Table:
    """An input without rows."""
    value = pa.list_(pa.float32()) if settings.compares_vectors else pa.string()
    block = [] if settings.blocking is None else [("block", pa.string())]
    return pa.schema([("is_right", pa.bool_()), ("item_id", pa.string()), ("value", value), *block]).empty_table()


def write_sides(prepared: Prepared, settings: JoinSettings, scratch: str) -> dict[str, list[str]]:
    """Write the copies and the rejected rows of both sides, and the digests of the others."""
    sides = {"left": prepared.left} | ({"right": prepared.right} if prepared.right else {})
    digests = {name: digest_items(side.items, settings) for name, side in sides.items()}
    return {
        "copies": [write_rows(scratch, COPIES, [_name(name, side.copies) for name, side in sides.items()])],
        "rejected": [write_rows(scratch, REJECTED, [_name(name, side.rejected) for name, side in sides.items()])],
        "digests": [write_rows(scratch, DIGESTS, [_name(name, table) for name, table in digests.items()])],
    }


def _name(side: str, table: pa.Table) -> pa.Table:
    return table.add_column(0, "side", pa.repeat(side, table.num_rows))


def tell_pairs(pairs: Pairs, left_ids: pa.StringArray, right_ids: pa.StringArray) -> Iterator[pa.Table]:
    """Pairs with the ids of their items, in parts."""
    for start in range(0, len(pairs), ROWS_AT_A_TIME):
        part = slice(start, start + ROWS_AT_A_TIME)
        left, right = left_ids.take(pa.array(pairs.left_P[part])), right_ids.take(pa.array(pairs.right_P[part]))
        yield pa.table([left, right, pa.array(pairs.similarity_P[part])], schema=PAIRS)


def tell_neighbors(neighbors: Neighbors, left_ids: pa.StringArray, right_ids: pa.StringArray) -> Iterator[pa.Table]:
    """Neighbours with the ids of the items and their ranks from 1, in parts."""
    rows, places = neighbors.code_NK.shape
    rows_at_a_time = max(1, ROWS_AT_A_TIME // max(1, places))
    for start in range(0, rows, rows_at_a_time):
        part = slice(start, start + rows_at_a_time)
        row_P, place_P = np.nonzero(neighbors.code_NK[part] >= 0)
        ids = left_ids.take(pa.array(neighbors.row_N[part][row_P]))
        others = right_ids.take(pa.array(neighbors.code_NK[part][row_P, place_P]))
        ranks, similarities = (place_P + 1).astype(np.int32), neighbors.similarity_NK[part][row_P, place_P]
        yield pa.table([ids, pa.array(ranks), others, pa.array(similarities)], schema=NEIGHBORS)
