"""Lines of progress with the time left, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence


class Progress:
    """Reckons the time left from what each case should take, corrected by how long those before it took."""

    def __init__(self, expected: Sequence[float]) -> None:
        self._expected = list(expected)
        self._began = self._case_began = time.monotonic()
        self._current = -1
        self._title = ""

    def begin(self, title: str) -> None:
        """Turn to the next case."""
        self._current += 1
        self._case_began = time.monotonic()
        self._title = title
        self.note("begins")

    def note(self, message: str) -> None:
        """Print a line for the case at hand."""
        place = f"[{self._current + 1}/{len(self._expected)}] {self._title}"
        print(f"{place}: {message} · {_words(self.seconds_left())} left", file=sys.stderr, flush=True)

    def seconds_left(self) -> float:
        """Return the time that the rest of this case and the cases after it will take, as far as one can tell."""
        done = self._expected[: self._current]
        pace = (self._case_began - self._began) / sum(done) if done else 1.0
        spent = time.monotonic() - self._case_began
        # A case that overruns its estimate tells nothing of its end but that it is no quick one.
        here = max(pace * self._expected[self._current] - spent, spent / 4)
        return here + pace * sum(self._expected[self._current + 1 :])


def _words(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"
