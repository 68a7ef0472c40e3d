"""Run a benchmark: `python -m tests.benchmarks NAME [--only PATTERN]`."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from .harness.cases import Case, select_cases
from .harness.drawing import draw_growth, read_growth
from .harness.peers import ROOT
from .harness.running import run_benchmark

HERE = Path(__file__).resolve().parent


def names() -> list[str]:
    """Return the benchmarks there are: the modules beside this one."""
    return sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith(("_", "test_")))


def load_cases(name: str) -> list[Case]:
    """Return the cases that a benchmark declares."""
    cases: list[Case] = importlib.import_module(f".{name}", __package__).CASES
    return cases


def main() -> int:
    """Run the benchmark that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("name", choices=names(), help="which benchmark")
    parser.add_argument("--only", metavar="PATTERN", default="*", help="only cases with a key in which this occurs")
    parser.add_argument("--list", action="store_true", help="list keys and goals, and run nothing")
    parser.add_argument("--draw", metavar="FILE", type=Path, help="draw how cost grew in the last run, and run nothing")
    options = parser.parse_args()
    cases = select_cases(load_cases(options.name), options.only)
    if not cases:
        parser.error(f"no key of {options.name} has {options.only!r} in it; --list shows them")
    if options.list:
        print("\n".join(f"{goal.key}  {goal.better}  {goal.value}" for case in cases for goal in case.goals))
        return 0
    folder = ROOT / "build" / "bench"
    if options.draw:
        return draw(folder / f"{options.name}.json", options.draw)
    return run_benchmark(cases, name=options.name, folder=folder)


def draw(figures: Path, target: Path) -> int:
    """Draw the growth among the figures of a run; return the exit code."""
    series = read_growth(figures) if figures.exists() else {}
    if not series:
        print(f"{figures} has no figures of growth; run the benchmark, or its part: --only growth", file=sys.stderr)
        return 1
    draw_growth(series, target)
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
