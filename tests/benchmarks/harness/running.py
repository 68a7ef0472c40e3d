"""Runs the cases of a benchmark: progress while they run, then a table and a JSON file."""

from __future__ import annotations

import json
import shutil
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .cases import Case, Reading
from .machine import OtherWork, describe_machine
from .measuring import Comparison, alternate
from .peers import PROGRAMS, PeerProcess, peer_python
from .progress import Progress

Ours = TypeVar("Ours")
Theirs = TypeVar("Theirs")
Thing = TypeVar("Thing")


class Bench:
    """What every case of a benchmark is handed: a folder for data, peers, and the comparison of two sides."""

    def __init__(self, folder: Path, progress: Progress, stack: ExitStack) -> None:
        self.folder = folder
        self._progress, self._stack = progress, stack
        self._peers: dict[str, PeerProcess] = {}

    def note(self, message: str) -> None:
        """Print a line of progress, with the time left."""
        self._progress.note(message)

    def keep(self, thing: AbstractContextManager[Thing]) -> Thing:
        """Enter a context that all cases share, such as a Spark session; it is left after the last case."""
        return self._stack.enter_context(thing)

    def data(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return a folder of generated data, made where it does not stand; the name tells its parameters."""
        folder = self.folder / name
        if not folder.exists():
            self.note(f"making {name}")
            unfinished = self.folder / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            make(unfinished)
            unfinished.rename(folder)
        return folder

    def peer(self, program: str, *, environment: str | None = None, name: str | None = None) -> PeerProcess:
        """Return the running `peers/<program>.py`, in our environment or in the one of its lock, made if needed.

        Another `name` is another process of the same program.
        """
        name = name or program
        known = self._peers.get(name)
        if known is None or not known.is_running:
            self.note(f"starting {name}")
            python = peer_python(environment)
            known = PeerProcess(python, PROGRAMS / f"{program}.py", self.folder / f"{name}.log")
            self._stack.callback(known.close)
            self._peers[name] = known
        return known

    def compare(
        self,
        ours: Callable[[], Ours],
        peer: Callable[[], Theirs],
        *,
        verify: Callable[[Ours, Theirs | None], None],
        rounds: int = 5,
    ) -> Comparison:
        """Run both sides once, verify their answers, then run them in turns; see `alternate`."""
        self.note("first runs, whose results are verified")

        def tell(number: int, so_far: Comparison) -> None:
            last = f"ours {so_far.ours[-1].wall:.2f} s, peer {so_far.peer[-1].wall:.2f} s"
            self.note(f"round {number} of {rounds}: {last}")

        return alternate(ours, peer, verify=verify, rounds=rounds, after_round=tell)


@dataclass(frozen=True)
class Outcome:
    """What came of a case: readings in the order of its goals, or why there are none."""

    case: Case
    readings: tuple[Reading, ...]
    failure: str
    others: float

    def figures(self) -> list[dict[str, Any]]:
        """One object for each goal; `value` is None where the case failed."""
        found: Sequence[Reading | None] = self.readings or [None] * len(self.case.goals)
        return [
            {
                "key": goal.key,
                "value": reading.value if reading else None,
                "unit": goal.unit,
                "goal": goal.value,
                "better": goal.better,
                "peer": self.case.peer,
                "verdict": goal.verdict(reading.value) if reading else "failed",
                "note": reading.note if reading else self.failure,
                "others_cores": round(self.others, 2),
            }
            for goal, reading in zip(self.case.goals, found, strict=True)
        ]


def run_benchmark(cases: Sequence[Case], *, name: str, folder: Path) -> int:
    """Run the cases and write `<folder>/<name>.json` and `.txt`; return 1 where one failed, 0 otherwise.

    A missed goal fails nothing. The files hold what this run measured, also where it is interrupted.
    """
    work = OtherWork()
    progress = Progress([case.seconds for case in cases])
    outcomes: list[Outcome] = []
    machine = describe_machine()
    data = folder / name
    data.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack:
            bench = Bench(data, progress, stack)
            for case in cases:
                progress.begin(case.goals[0].key)
                outcomes.append(run_case(case, bench))
    finally:
        figures = [figure for outcome in outcomes for figure in outcome.figures()]
        (folder / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        machine.append(f"others      {work.cores():.2f} cores on average; {', '.join(work.busiest()) or 'none'}")
        report = "\n".join([*machine, "", *table_lines(figures), ""])
        (folder / f"{name}.txt").write_text(report, encoding="utf-8")
        print(report, flush=True)
    return 1 if any(outcome.failure for outcome in outcomes) else 0


def run_case(case: Case, bench: Bench) -> Outcome:
    """Measure a case; a failure becomes its outcome."""
    work = OtherWork()
    try:
        readings, failure = tuple(case.read(bench)), ""
    except Exception as error:  # noqa: BLE001 - one broken case must not cost hours of the others' figures
        traceback.print_exc()
        readings, failure = (), f"{type(error).__name__}: {error}"
    return Outcome(case, readings, failure, work.cores())


def table_lines(figures: Sequence[dict[str, Any]]) -> list[str]:
    """Return the figures as lines of a table, each with how it came about below it."""
    width = max((len(figure["key"]) for figure in figures), default=3)
    lines = [f"{'figure':{width}}  {'value':>9}  {'goal':>9}  verdict  unit    against"]
    for figure in figures:
        value = "-" if figure["value"] is None else f"{figure['value']:.3g}"
        sign = "≥" if figure["better"] == "higher" else "≤"
        goal = "-" if figure["goal"] is None else f"{sign} {figure['goal']:.3g}"
        head = f"{figure['key']:{width}}  {value:>9}  {goal:>9}  {figure['verdict']:7}"
        lines.append(f"{head}  {figure['unit']:6}  {figure['peer']}")
        lines.append(f"    {figure['note']}; others kept {figure['others_cores']} cores busy")
    return lines
