"""Wall and CPU seconds of two sides, taken in turns."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeVar

import psutil

from .cases import Reading
from .peers import PeerLimit

Clock = Literal["wall", "cpu"]
Ours = TypeVar("Ours")
Theirs = TypeVar("Theirs")

LONG_RUN_SECONDS = 60.0
"""A side whose first run takes longer is not run again."""


@dataclass(frozen=True)
class Cost:
    """Seconds by the wall's clock, and CPU seconds of this process and everything below it."""

    wall: float
    cpu: float

    def on(self, clock: Clock) -> float:
        """Return the seconds by one of the two clocks."""
        return self.wall if clock == "wall" else self.cpu


@dataclass(frozen=True)
class Comparison:
    """Costs of both sides, run in turns; `mark` says where the peer did not get to its end."""

    ours: tuple[Cost, ...]
    peer: tuple[Cost, ...]
    mark: str = ""

    def speedup(self, clock: Clock, *, work: float = 1.0) -> Reading:
        """How many times faster ours is than its peer, by medians.

        `work` is how many times the peer's work ours did, for a peer that can only finish a part.
        """
        ours, peer = self._seconds(clock)
        return Reading(work * peer / ours, self._note(clock))

    def time_ratio(self, clock: Clock) -> Reading:
        """Our time over the peer's, by medians: lower is better."""
        ours, peer = self._seconds(clock)
        return Reading(ours / peer, self._note(clock))

    def speedups(self, key: str, *, work: float = 1.0) -> dict[str, Reading]:
        """Readings for the two goals of `speed_goals(key, …)`."""
        return {f"{key}.wall": self.speedup("wall", work=work), f"{key}.cpu": self.speedup("cpu", work=work)}

    def _seconds(self, clock: Clock) -> tuple[float, float]:
        return median(cost.on(clock) for cost in self.ours), median(cost.on(clock) for cost in self.peer)

    def _note(self, clock: Clock) -> str:
        sides = [f"{name} {_spread(costs, clock)}" for name, costs in (("ours", self.ours), ("peer", self.peer))]
        return "; ".join([*sides, *([self.mark] if self.mark else [])])


def _spread(costs: tuple[Cost, ...], clock: Clock) -> str:
    """Write the median with its extremes, such as `0.31 s (0.30-0.35, 5 runs)`."""
    seconds = [cost.on(clock) for cost in costs]
    if len(seconds) == 1:
        return f"{seconds[0]:.3g} s (1 run)"
    return f"{median(seconds):.3g} s ({min(seconds):.3g}-{max(seconds):.3g}, {len(seconds)} runs)"


def measure(function: Callable[[], Ours]) -> tuple[Ours, Cost]:
    """Call a function; return its answer and what it cost."""
    gc.collect()
    cpu, wall = tree_cpu_seconds(), time.perf_counter()
    answer = function()
    wall = time.perf_counter() - wall
    return answer, Cost(wall, tree_cpu_seconds() - cpu)


def alternate(
    ours: Callable[[], Ours],
    peer: Callable[[], Theirs],
    *,
    verify: Callable[[Ours, Theirs | None], None],
    rounds: int,
    after_round: Callable[[int, Comparison], None],
) -> Comparison:
    """Run both sides once and verify, then run them in turns.

    `verify` raises WrongResult; it gets None for a peer that was stopped at its limit, which counts as the limit's
    seconds on both clocks. The first run only warms up, unless it takes more than LONG_RUN_SECONDS: then it is the one
    run of its side.
    """
    mark = ""
    answer, our_cost = measure(ours)
    try:
        peer_answer, peer_cost = measure(peer)
    except PeerLimit as limit:
        peer_answer, peer_cost, mark = None, Cost(limit.seconds, limit.seconds), str(limit)
    verify(answer, peer_answer)
    our_costs = [our_cost] if our_cost.wall > LONG_RUN_SECONDS else []
    peer_costs = [peer_cost] if mark or peer_cost.wall > LONG_RUN_SECONDS else []
    repeated = [(costs, side) for costs, side in ((our_costs, ours), (peer_costs, peer)) if not costs]
    for number in range(1, rounds + 1 if repeated else 1):
        for costs, side in repeated:
            costs.append(measure(side)[1])
        after_round(number, Comparison(tuple(our_costs), tuple(peer_costs), mark))
    return Comparison(tuple(our_costs), tuple(peer_costs), mark)


def tree_cpu_seconds() -> float:
    """CPU seconds spent so far by this process, its children, theirs, and those of them that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = psutil.Process().children(recursive=True)
    return time.process_time() + ended.ru_utime + ended.ru_stime + sum(map(_cpu_seconds, running))


def _cpu_seconds(process: psutil.Process) -> float:
    """CPU seconds of a process and of its children that have ended, in steps of 10 ms; 0 if it has just gone."""
    try:
        return float(sum(process.cpu_times()[:4]))
    except psutil.NoSuchProcess:
        return 0.0
