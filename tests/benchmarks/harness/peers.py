"""Peers: programs in processes of their own, in Python environments of their own where they need other versions."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = Path(__file__).resolve().parents[1] / "peers"
START_SECONDS = 300.0
"""Time that a peer has for its imports."""


class PeerFailure(Exception):
    """A peer did not answer as it should; says what it said last."""


class PeerLimit(Exception):
    """A peer reached the limit of its time or the machine's memory; it counts as `seconds`."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(f"peer {reason}, counted as {seconds:.0f} s")
        self.seconds = seconds


class PeerProcess:
    """A program of `peers/` that answers calls: a line of JSON to its input, a line of JSON from its output.

    What it writes besides goes to `log`. Closing its input ends it.
    """

    def __init__(self, python: Path, program: Path, log: Path) -> None:
        self._name, self._log = program.stem, log
        inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [python, program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=inherited,
                start_new_session=True,
            )
        self._answer(START_SECONDS)

    @property
    def is_running(self) -> bool:
        """Say whether it can still be called; a peer that met its limit cannot."""
        return self._process.poll() is None

    def call(self, function: str, arguments: Mapping[str, Any], *, limit: float | None = None) -> Any:
        """Return what a function of the program returns.

        Raises PeerLimit where there is a limit in seconds and it, or the memory, is used up; PeerFailure otherwise.
        """
        assert self._process.stdin is not None
        request = json.dumps({"function": function, "arguments": dict(arguments)})
        # A peer that has ended takes no more requests; waiting for its answer then tells how it ended.
        with suppress(BrokenPipeError):
            self._process.stdin.write(request.encode() + b"\n")
            self._process.stdin.flush()
        answer = self._answer(limit)
        if "error" not in answer:
            return answer["result"]
        if answer["is_out_of_memory"] and limit is not None:
            self.stop()
            raise PeerLimit("ran out of memory", limit)
        raise PeerFailure(f"{self._name}: {answer['error']} (its whole output: {self._log})")

    def _answer(self, limit: float | None) -> dict[str, Any]:
        output = self._process.stdout
        assert output is not None
        if not select.select([output], [], [], limit)[0]:
            self.stop()
            assert limit is not None
            raise PeerLimit(f"was stopped after {limit:.0f} s", limit)
        line = output.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self._process.wait()
        if code == -signal.SIGKILL and limit is not None:
            raise PeerLimit("was killed for want of memory", limit)
        raise PeerFailure(f"{self._name} ended with exit code {code}: {self._last_words()}")

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return "\n".join([*lines[-10:], f"(its whole output: {self._log})"])

    def close(self) -> None:
        """End it: let it finish by itself, and kill it with all its children where it does not."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.stop()

    def stop(self) -> None:
        """Kill it and everything it has started."""
        if self.is_running:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def peer_python(environment: str | None) -> Path:
    """Return the Python of `deploy/locks/peers-<environment>.txt`, made where it does not stand; None is our own."""
    if environment is None:
        return Path(sys.executable)
    lock = ROOT / "deploy" / "locks" / f"peers-{environment}.txt"
    return make_environment(lock, ROOT / "build" / "peers" / environment)


def make_environment(lock: Path, folder: Path) -> Path:
    """Install a lock into a virtual environment of its own, once for each content of the lock; return its Python."""
    # Set-up stands beside the package, not in it.
    sys.path.append(str(ROOT / "deploy"))
    from installation.checkout import run_logged
    from installation.environment import ensure_uv

    python, stamp = folder / "bin" / "python", folder / "lock.sha256"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return python
    uv = ensure_uv()
    doing = f"Making the environment of {lock.stem}"
    run_logged([uv, "venv", "--clear", "--python", sys.executable, folder], doing=doing)
    run_logged([uv, "pip", "sync", "--python", python, "--require-hashes", lock], doing=doing)
    stamp.write_text(digest, encoding="utf-8")
    return python
