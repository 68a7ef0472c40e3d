"""Where things lie, and the one way in which set-up runs commands and complains."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
LOCKS = ROOT / "deploy" / "locks"
LOG = ROOT / "build" / "setup.log"

EXIT_CODE = 4
"""What set-up exits with when something on the machine is missing; `kinfolk doctor` uses the same."""


class SetupProblem(Exception):
    """Something set-up cannot mend by itself; the message says what, and what to do."""


def cache_folder() -> Path:
    """Return the folder that outlives checkouts: $KINFOLK_CACHE, else kinfolk in the user's cache folder."""
    chosen = os.environ.get("KINFOLK_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user_cache) / "kinfolk"


def spark_home() -> Path:
    """Return the Spark that PyPI's pyspark brings into the virtual environment."""
    return VENV / "lib" / "python3.11" / "site-packages" / "pyspark"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def run_logged(
    command: Sequence[str | Path], *, doing: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> None:
    """Run a command with its output in the log; raise SetupProblem with the end of that output if it fails."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("a+", encoding="utf-8", errors="replace") as log:
        log.write(f"\n$ {' '.join(map(str, command))}\n")
        log.flush()
        start = log.tell()
        finished = subprocess.run(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=cwd
        )
        if finished.returncode != 0:
            log.seek(start)
            ending = "".join(log.readlines()[-15:])
            raise SetupProblem(f"{doing} failed (exit code {finished.returncode}).\n{ending}\nThe whole output: {LOG}")
