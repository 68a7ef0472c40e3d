"""What a join is expected to find, and to need: learned from a sample before the work, and held against the budgets.

How many pairs there are is told from those of some items drawn at random. Items that resemble one another come in
crowds, so that pairs are seen many at a time: a count is taken for as many independent sightings as would scatter like
it does, and those for a Poisson number, whose interval is Byar's (Breslow and Day, Statistical Methods in Cancer
Research II, 1987, section 2.3). Where none was seen, the interval still ends where that would be a rare accident.

Shape suffixes: N items that were drawn, P pairs among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kinfolk.errors import DataError
from kinfolk.settings import JoinSettings
from kinfolk.similarity.recall import Z_95
from kinfolk.tasks.memory import tell_free_memory

FEWEST_COMPARISONS = 10_000**2
"""Pairs of items below which a join is over before a forecast of it would be made."""

_Z_SURE = 5.0
"""Standard normal quantile that chance exceeds less than once in three million times."""
_COPIES_READ, _TEXT_COPIES_READ = 3.0, 1.5
"""Forms of the rows while they are read: as they came, one after the other, and in the order of their ids; of texts,
which stay where they are, as they came and what their reader holds besides."""
WRITE_SECONDS = 4e-7
"""Of writing a pair or a neighbour."""
_WRITTEN_BYTES, _MOST_WRITTEN = 200, 1 << 18
"""Of a row that is being written, and the most of them at a time."""
_GIGABYTE = 1e9


@dataclass(frozen=True)
class Estimate:
    """A count, its 95% interval, and what it certainly is at least."""

    value: float
    low: float
    high: float
    least: float


@dataclass(frozen=True)
class Memory:
    """Bytes that a join holds at its peak, beyond those of a Python process.

    They are those of its rows in all their forms, of the neighbours, of the pairs, and of the tiles and tables that it
    works with.
    """

    rows: float
    neighbors: float
    pairs: float
    work: float

    @property
    def bytes(self) -> float:
        """All of it."""
        return self.rows + self.neighbors + self.pairs + self.work


@dataclass(frozen=True)
class Forecast:
    """What a plan is expected to find and to need.

    `comparisons` are pairs of items that are looked at, `seconds` those of the plan from the first step that other
    plans do without, `neighbors` at most so many. `tasks` share the work, each with `threads`. A join so small that it
    is over in no time has no pairs, seconds and memory: None.
    """

    plan: str
    neighbors: int
    comparisons: float
    pairs: Estimate | None = None
    seconds: float | None = None
    memory: Memory | None = None
    tasks: int = 1
    threads: int = 1

    def to_json(self) -> dict[str, Any]:
        """The forecast as plain data."""
        return asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> Forecast:
        """Read a forecast back."""
        pairs, memory = values["pairs"], values["memory"]
        parts = {"pairs": pairs and Estimate(**pairs), "memory": memory and Memory(**memory)}
        return Forecast(**values | parts)


def estimate_pairs(partners_N: NDArray[np.int64], *, population: int, is_self_join: bool) -> Estimate:
    """Estimate all pairs from the partners of some rows, drawn at random from `population`, among the whole other side.

    >>> estimate_pairs(np.array([0, 2] * 50), population=1000, is_self_join=True)
    Estimate(value=500.0, low=410..., high=602..., least=296...)
    """
    seen, drawn = int(partners_N.sum()), len(partners_N)
    scale = population / max(1, drawn) / (2 if is_self_join else 1)
    if not seen or drawn < 2:
        return _scale_count(seen, float(drawn < population), scale)
    # Rows are drawn once: the more of all of them were, the less the count scatters.
    left = max(0.0, (population - drawn) / max(1, population - 1))
    crowd = max(1.0, float(partners_N.var(ddof=1)) * drawn / seen)
    return _scale_count(seen, crowd * left, scale)


def estimate_pairs_among(
    left_P: NDArray[np.int64], right_P: NDArray[np.int64], *, scale: float, is_self_join: bool
) -> Estimate:
    """Estimate all pairs from those found among some items of each side, of which every one stands for `scale`.

    Two pairs with an item in common are seen or missed together: so many there are, the count scatters more by.
    """
    seen = len(left_P)
    # Where a pair stands for itself alone, all are known.
    is_open = float(scale > 1)
    if not seen:
        return _scale_count(0, is_open, scale)
    sides = [np.concatenate([left_P, right_P])] if is_self_join else [left_P, right_P]
    partners = [np.bincount(side_P) for side_P in sides]
    together = sum(float((count_N * (count_N - 1.0)).sum()) for count_N in partners)
    return _scale_count(seen, (1 + together / seen) * is_open, scale)


def _scale_count(seen: int, crowd: float, scale: float) -> Estimate:
    """What a count says that was seen in crowds, each sighting of which stands for `scale`."""
    value = seen * scale
    if crowd == 0:
        return Estimate(value, value, value, value)
    low, high = _bound_count(seen / crowd, Z_95)
    least, _ = _bound_count(seen / crowd, _Z_SURE)
    return Estimate(value, low * crowd * scale, high * crowd * scale, least * crowd * scale)


def _bound_count(count: float, z: float) -> tuple[float, float]:
    """Both ends of Byar's interval of the mean of a Poisson number that came out as `count`."""
    more = count + 1
    high = more * (1 - 1 / (9 * more) + z / (3 * math.sqrt(more))) ** 3
    if not count:
        return 0.0, high
    return count * max(0.0, 1 - 1 / (9 * count) - z / (3 * math.sqrt(count))) ** 3, high


CERTAIN_NONE = Estimate(0.0, 0.0, 0.0, 0.0)
"""No pairs where none are asked for."""


def spread_forecast(forecast: Forecast, *, tasks: int, threads: int, speed: float) -> Forecast:
    """The forecast of a join that is spread over tasks, which together are `speed` times as fast."""
    seconds = None if forecast.seconds is None else forecast.seconds / speed
    return replace(forecast, tasks=tasks, threads=threads, seconds=seconds)


def add_forecasts(parts: Sequence[Forecast], plan: str) -> Forecast:
    """The forecast of joins that are done one after the other, and whose results are kept together."""
    neighbors, comparisons = sum(part.neighbors for part in parts), sum(part.comparisons for part in parts)
    told = Forecast(plan, neighbors, comparisons, tasks=parts[0].tasks, threads=parts[0].threads)
    pairs = [part.pairs for part in parts if part.pairs is not None]
    seconds = [part.seconds for part in parts if part.seconds is not None]
    memory = [part.memory for part in parts if part.memory is not None]
    if len(pairs) < len(parts) or len(seconds) < len(parts) or len(memory) < len(parts):
        return told
    # What one join works with is free again for the next.
    added = Memory(
        rows=sum(one.rows for one in memory),
        neighbors=sum(one.neighbors for one in memory),
        pairs=sum(one.pairs for one in memory),
        work=max(one.work for one in memory),
    )
    return replace(told, pairs=_add_estimates(pairs), seconds=sum(seconds), memory=added)


def _add_estimates(counts: Sequence[Estimate]) -> Estimate:
    """The sum of counts that were estimated apart: what one misses is seldom what the next one misses."""
    value, least = sum(count.value for count in counts), sum(count.least for count in counts)
    below = math.hypot(*(count.value - count.low for count in counts))
    above = math.hypot(*(count.high - count.value for count in counts))
    return Estimate(value, max(least, value - below), value + above, least)


def check_budgets(forecast: Forecast, settings: JoinSettings) -> None:
    """Raise DataError where a join would certainly find more pairs, or need more memory, than the settings allow."""
    excess = find_excess(forecast, settings)
    if excess is not None:
        raise DataError(f"{excess}. Nothing was computed or written")


def check_reading(rows: pa.Table, settings: JoinSettings) -> None:
    """Raise DataError where there is no memory even to read the rows of a join."""
    copies = _TEXT_COPIES_READ if pa.types.is_string(rows["value"].type) else _COPIES_READ
    memory = Memory(rows=copies * rows.nbytes, neighbors=0.0, pairs=0.0, work=0.0)
    excess = _find_memory_excess(memory, settings, f"reading {rows.num_rows:,} rows")
    if excess is not None:
        raise DataError(f"{excess}. Nothing was computed or written")


def find_excess(forecast: Forecast, settings: JoinSettings) -> str | None:
    """What a join would certainly have too much of, and what to change; None where it keeps within its budgets."""
    if forecast.pairs is None or forecast.memory is None:
        return None
    if forecast.pairs.least > settings.max_pairs:
        return _tell_pairs(forecast.pairs, settings)
    held = forecast.pairs.least / forecast.pairs.value if forecast.pairs.value else 1.0
    least = replace(forecast.memory, pairs=forecast.memory.pairs * held, work=0.0)
    return _find_memory_excess(least, settings, f"the plan {forecast.plan}")


def _find_memory_excess(memory: Memory, settings: JoinSettings, what: str) -> str | None:
    """That something needs more memory than is allowed, and what to change; None where it does not."""
    allowed = settings.max_memory or tell_free_memory()
    if memory.bytes <= allowed:
        return None
    source = f"{settings.section}.max_memory allows" if settings.max_memory else "of the memory here a join may take"
    return (
        f"{what} would take at least {format_bytes(memory.bytes)} of memory; {source} {format_bytes(allowed)}. "
        f"{_advise(memory, settings)}"
    )


def _tell_pairs(pairs: Estimate, settings: JoinSettings) -> str:
    return (
        f"about {format_count(pairs.value)} pairs are expected to have a {settings.measure} similarity beyond the "
        f"threshold of {settings.threshold}, and certainly {format_count(pairs.least)}; {settings.section}.max_pairs "
        f"allows {settings.max_pairs:,}. Raise {settings.section}.threshold, or {settings.section}.max_pairs where "
        "memory, disk and time allow for it"
    )


def _advise(memory: Memory, settings: JoinSettings) -> str:
    """What to change, beginning with what takes the most memory."""
    section = settings.section
    parts = {
        f"raise {section}.threshold or lower {section}.max_pairs, for pairs take most of it": memory.pairs,
        f"lower {section}.neighbors ({settings.neighbors}), for neighbours take most of it": memory.neighbors,
        "join fewer rows, or vectors of fewer coordinates, for they take most of it": memory.rows,
    }
    first = max(parts, key=lambda advice: parts[advice])
    return (
        f"{first[0].upper()}{first[1:]}; or give the process that joins more memory (spark.executor.memoryOverhead, or "
        f"a larger machine) and raise {section}.max_memory; or let a cluster share the work, with a lower "
        f"{section}.one_task_rows, where neighbours or pairs are what is too many"
    )


def count_writing_bytes(found: float) -> float:
    """Bytes of the pairs and neighbours that are being written at a time, of so many."""
    return _WRITTEN_BYTES * min(found, _MOST_WRITTEN)


def format_bytes(count: float) -> str:
    """A number of bytes as people say it.

    >>> format_bytes(1_440_000_000), format_bytes(2_500_000)
    ('1.4 GB', '3 MB')
    """
    if count >= _GIGABYTE:
        return f"{count / _GIGABYTE:,.1f} GB"
    return f"{max(1, math.ceil(count / 1e6))} MB"


def format_count(count: float) -> str:
    """An estimated count with the digits that mean something: two.

    >>> format_count(231_234), format_count(7.4)
    ('230,000', '7')
    """
    digits = max(0, len(str(round(count))) - 2)
    return f"{round(round(count), -digits):,}"
