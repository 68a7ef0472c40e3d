"""Run a benchmark: `python -m tests.benchmarks NAME [--only PATTERN]`."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from .harness.cases import Case, select_cases
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
    options = parser.parse_args()
    cases = select_cases(load_cases(options.name), options.only)
    if not cases:
        parser.error(f"no key of {options.name} has {options.only!r} in it; --list shows them")
    if options.list:
        print("\n".join(f"{goal.key}  {goal.better}  {goal.value}" for case in cases for goal in case.goals))
        return 0
    return run_benchmark(cases, name=options.name, folder=ROOT / "build" / "bench")


if __name__ == "__main__":
    sys.exit(main())
