"""Threads for kernels, which let others run meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any


@contextmanager
def open_threads(threads: int) -> Iterator[Any]:
    """Something with a `map` like that of an executor, on so many threads; a single one is the caller's own."""
    if threads == 1:
        yield _OwnThread()
        return
    with ThreadPoolExecutor(threads) as pool:
        yield pool


class _OwnThread:
    map = staticmethod(map)
