"""A case measures figures that stand next to goals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .running import Bench


class WrongResult(Exception):
    """What was measured is not right, so its speed means nothing; the benchmark fails."""


@dataclass(frozen=True)
class Goal:
    """What a figure should reach: at least `value` where higher is better, at most where lower is.

    None shows the figure beside its peer without asking anything of it.
    """

    key: str
    value: float | None = None
    better: Literal["higher", "lower"] = "higher"
    unit: str = "ratio"

    def verdict(self, value: float) -> str:
        """Say "met", "missed", or nothing where there is no goal."""
        if self.value is None:
            return ""
        is_met = value >= self.value if self.better == "higher" else value <= self.value
        return "met" if is_met else "missed"


def speed_goals(key: str, value: float | None) -> tuple[Goal, Goal]:
    """Goals for how many times faster than its peer something is: by the wall's clock, and per CPU second."""
    return Goal(f"{key}.wall", value), Goal(f"{key}.cpu", value)


@dataclass(frozen=True)
class Reading:
    """A measured figure; the note says how it came about."""

    value: float
    note: str = ""


@dataclass(frozen=True)
class Case:
    """One thing to measure, against one peer.

    `measure` returns a reading for the key of every goal, and raises WrongResult where a result is not what it has to
    be. `seconds` is roughly what it takes on two cores; the time left is reckoned from it.
    """

    goals: tuple[Goal, ...]
    peer: str
    measure: Callable[[Bench], Mapping[str, Reading]]
    seconds: float

    def read(self, bench: Bench) -> list[Reading]:
        """Measure; return the readings in the order of the goals."""
        readings = self.measure(bench)
        keys = [goal.key for goal in self.goals]
        if set(readings) != set(keys):
            raise WrongResult(f"figures for {sorted(keys)} are declared, those measured are {sorted(readings)}")
        if not all(math.isfinite(reading.value) for reading in readings.values()):
            raise WrongResult(f"a figure is no number: {dict(readings)}")
        return [readings[key] for key in keys]


def select_cases(cases: Sequence[Case], pattern: str) -> list[Case]:
    """Take the cases with a key in which the pattern occurs; `*`, `?` and `[…]` have the shell's meaning."""
    return [case for case in cases if any(fnmatchcase(goal.key, f"*{pattern}*") for goal in case.goals)]
