"""What a process that lives for the feed, such as a rank, does for itself before it begins."""

from __future__ import annotations

import gc
import os

import pyarrow as pa


def settle_process() -> None:
    """Fit this process for a feed; call it once everything is imported.

    Arrow allocates with jemalloc, where it can and nobody has chosen otherwise: row groups come and go, and its default
    keeps several times the memory that they need at once. What the imports left is exempt from garbage collection: to
    look through it takes a sixth of a second each time, in which every thread stands still.
    """
    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ and "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    gc.collect()
    gc.freeze()
