"""Set kinfolk up: system tools, virtual environment, Horovod, Delta's jars, Spark's defaults.

Runs with nothing but Python 3.11. What is done is skipped the next time: a stamp in the virtual environment holds a
hash of everything that set-up depends on. Works offline once the cache folder is filled.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from installation.checkout import EXIT_CODE, LOG, ROOT, VENV, VENV_PYTHON, SetupProblem, cache_folder
from installation.environment import ensure_uv, find_uv, install_project, install_requirements
from installation.horovod import FLAVOURS, install_wheel
from installation.jars import JAR_LOCK, ensure_jars, jar_folder, parse_lock
from installation.machine import CHROMIUM, COMPILER, HEADERS, JAVA, MAKE, PIP, Tool, ensure_tools
from installation.spark_defaults import defaults_file, write_defaults

PYTHON = (3, 11)
STAMP = VENV / "kinfolk-setup.stamp"

Step = tuple[str, Callable[[], str]]


def check_python() -> None:
    """Raise SetupProblem unless this is the Python that the locks were made for."""
    if sys.version_info[:2] != PYTHON:
        came = ".".join(map(str, sys.version_info[:3]))
        raise SetupProblem(
            f"kinfolk runs on Python {PYTHON[0]}.{PYTHON[1]}; this is {came} ({sys.executable}).\n"
            "Install python3.11, or name one: make setup PYTHON=/path/to/python3.11"
        )


def chosen_flavour() -> str:
    """Return which operations Horovod is built for; raises SetupProblem for a word that is none."""
    flavour = os.environ.get("KINFOLK_HOROVOD", FLAVOURS[0])
    if flavour not in FLAVOURS:
        raise SetupProblem(f"KINFOLK_HOROVOD is {flavour!r}; allowed are {' and '.join(FLAVOURS)}.")
    return flavour


def required_tools(*, with_tests: bool) -> list[Tool]:
    """Return what the machine must bring: pip only where uv must be fetched, Chromium only for the tests."""
    fetching = [] if find_uv() else [PIP]
    return [JAVA, COMPILER, MAKE, HEADERS, *fetching, *([CHROMIUM] if with_tests else [])]


def project_metadata() -> bytes:
    """Return the part of pyproject.toml that decides what is installed; the settings of linters do not."""
    import tomllib  # Not there before Python 3.11, on which check_python has to come to its message.

    with (ROOT / "pyproject.toml").open("rb") as stream:
        whole = tomllib.load(stream)
    return json.dumps([whole["build-system"], whole["project"], whole["tool"]["setuptools"]]).encode()


def fingerprint() -> str:
    """Return a hash of everything that set-up depends on."""
    folders = [ROOT / "deploy" / name for name in ("horovod", "installation", "locks")]
    inside = sorted(path for folder in folders for path in folder.iterdir() if path.is_file())
    # Peers of benchmarks have environments of their own.
    files = [Path(__file__), *(path for path in inside if not path.name.startswith("peers-"))]
    digest = hashlib.sha256(f"{ROOT} {cache_folder()} {chosen_flavour()} {sys.version}".encode())
    digest.update(project_metadata())
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def is_current(*, with_tests: bool) -> bool:
    """Say whether an earlier set-up still stands: same fingerprint, and nothing of what it made was deleted."""
    if not (STAMP.is_file() and STAMP.read_text(encoding="utf-8") == fingerprint()):
        return False
    made = [VENV_PYTHON, VENV / "bin" / "kinfolk", defaults_file()]
    made += [jar_folder() / jar.file_name for jar in parse_lock(JAR_LOCK.read_text(encoding="utf-8"))]
    return all(path.exists() for path in made) and (CHROMIUM.is_there() or not with_tests)


def setup_steps(*, with_tests: bool) -> list[Step]:
    """Return the steps in order; each says in one line what came of it."""
    return [
        ("System tools", lambda: ensure_tools(required_tools(with_tests=with_tests))),
        ("uv", lambda: str(ensure_uv())),
        ("Python packages", lambda: install_requirements(ensure_uv())),
        ("kinfolk", lambda: install_project(ensure_uv())),
        ("Horovod", lambda: install_wheel(chosen_flavour())),
        ("Delta's jars", ensure_jars),
        ("Spark's defaults", write_defaults),
    ]


def run_steps(steps: list[Step]) -> None:
    """Run the steps one after another, and say what each does and how long it took."""
    for number, (title, step) in enumerate(steps, start=1):
        print(f"[{number}/{len(steps)}] {title}", flush=True)
        start = time.monotonic()
        outcome = step()
        print(f"      {outcome} ({time.monotonic() - start:.0f} s)", flush=True)


@contextmanager
def exclusive_cache() -> Iterator[None]:
    """Hold the cache folder for one set-up at a time; a second one waits."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up uses the cache folder; waiting for it.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def set_up(*, with_tests: bool, force: bool) -> None:
    """Bring this checkout into a state in which kinfolk runs; does nothing where it is."""
    check_python()
    if not force and is_current(with_tests=with_tests):
        return
    start = time.monotonic()
    with exclusive_cache():
        LOG.unlink(missing_ok=True)
        STAMP.unlink(missing_ok=True)
        run_steps(setup_steps(with_tests=with_tests))
        STAMP.write_text(fingerprint(), encoding="utf-8")
    print(f"Set up in {time.monotonic() - start:.0f} s; `make doctor` checks it.", flush=True)


def main() -> int:
    """Set up; return the exit code: 0, or 4 where the machine lacks something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", action="store_true", help="also what the tests need: Chromium")
    parser.add_argument("--force", action="store_true", help="do every step again, whatever the stamp says")
    options = parser.parse_args()
    try:
        set_up(with_tests=options.tests, force=options.force)
    except SetupProblem as problem:
        print(f"\nSet-up stopped. {problem}", file=sys.stderr)
        return EXIT_CODE
    return 0


if __name__ == "__main__":
    sys.exit(main())
