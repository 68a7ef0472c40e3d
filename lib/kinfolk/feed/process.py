"""What a process that lives for the feed, such as a rank, does for itself before it begins."""

from __future__ import annotations

import ctypes
import gc
import os
import sys

import pyarrow as pa

# The number of the parameter in glibc's malloc.h; see mallopt(3).
_M_ARENA_MAX = -8
_SWITCH_SECONDS = 20e-6


def settle_process() -> None:
    """Fit this process for a feed; call it once everything is imported.

    Memory comes and goes with the row groups and with threads that live for an epoch. Arrow's default and glibc both
    keep several times of what is needed at once: so Arrow allocates with jemalloc, and threads share what glibc keeps,
    where they can and nobody has chosen otherwise. What the imports left is exempt from garbage collection: to look
    through it takes a sixth of a second each time, in which every thread stands still. A thread that computes has the
    interpreter back from a worker's after 20 µs where Python would let it wait for 5 ms.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ and "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    libc = ctypes.CDLL(None)
    if "MALLOC_ARENA_MAX" not in os.environ and hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 2)
    gc.collect()
    gc.freeze()
