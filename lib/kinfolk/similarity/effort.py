"""How much a join of sets may do at once: its threads, its share of the work, and its budget of pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

_ITEMS_A_JOB = 8192

Share = tuple[int, int]
"""Which part of the work: the t-th of T."""

WHOLE: Share = (0, 1)


@dataclass(frozen=True)
class Effort:
    """Threads to compute with, which part of the work to do (the t-th of T), and the most pairs to find in it."""

    threads: int
    share: Share = WHOLE
    max_pairs: int = 1 << 62


class Budget:
    """Pairs that may still be found; what threads lose by counting at the same time makes them stop a little later."""

    def __init__(self, max_pairs: int) -> None:
        self._left = max_pairs

    @property
    def is_spent(self) -> bool:
        """Whether more pairs were found than allowed."""
        return self._left < 0

    def spend(self, pairs: int) -> None:
        """Count pairs that were found."""
        self._left -= pairs


def split_items(count: int, at_a_time: int = _ITEMS_A_JOB) -> list[range]:
    """Cut items into parts for threads, the same whatever their number.

    >>> split_items(5, 2)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [range(start, min(start + at_a_time, count)) for start in range(0, count, at_a_time)]


def spread(work: Callable[[Job], Result], jobs: Sequence[Job], threads: int) -> list[Result]:
    """Do jobs in threads; the results come in the order of the jobs."""
    if threads == 1 or len(jobs) < 2:
        return [work(job) for job in jobs]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, jobs))
