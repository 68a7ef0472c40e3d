"""How much memory a process may still take: of its machine, its container, and its own limit."""

from __future__ import annotations

import os
import resource
from pathlib import Path

_SHARE = 0.9
"""Of the memory that is free; the rest is left for what nobody foresees."""

_CONTAINERS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Where both versions of control groups tell a container's limit and use, and what of it is cached files."""


def tell_free_memory() -> int:
    """Bytes that this process may take in all, what it holds already included, less a tenth."""
    page = os.sysconf("SC_PAGE_SIZE")
    held, mapped = _read_own_pages()
    free = [_read_machine(), *(_read_container(*names) for names in _CONTAINERS)]
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        free.append(max(0, limit - mapped * page))
    return int(_SHARE * (min(some for some in free if some is not None) + held * page))


def _read_own_pages() -> tuple[int, int]:
    """Pages of this process in memory, and those that it has addresses for; 0 where the system does not tell."""
    try:
        mapped, held = Path("/proc/self/statm").read_text(encoding="ascii").split()[:2]
    except OSError:
        return 0, 0
    return int(held), int(mapped)


def _read_machine() -> int:
    """Bytes that the machine could give without swapping; all it has where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _read_container(folder: str, limit: str, use: str, cached: str) -> int | None:
    """Bytes that are left to the container; None where there is none or it has no limit."""
    try:
        left = int(Path(folder, limit).read_text(encoding="ascii")) - int(Path(folder, use).read_text(encoding="ascii"))
        stat = Path(folder, "memory.stat").read_text(encoding="ascii").split()
        return max(0, left + int(stat[stat.index(cached) + 1]))
    except (OSError, ValueError):
        return None
