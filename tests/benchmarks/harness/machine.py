"""The machine that figures come from, and what else ran on it meanwhile."""

from __future__ import annotations

import os
import platform
import time
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import psutil

from .measuring import tree_cpu_seconds

PACKAGES = ("pyarrow", "numpy", "torch", "pyspark")
THREAD_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def describe_machine() -> list[str]:
    """Return lines with processor, cores, memory, load, versions, and the variables that steer numeric libraries."""
    memory = psutil.virtual_memory()
    load = ", ".join(f"{average:.2f}" for average in os.getloadavg())
    variables = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if name in os.environ]
    return [
        f"processor   {processor_name()}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores for this process",
        f"memory      {memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB available",
        f"load        {load} (over 1, 5 and 15 minutes)",
        f"versions    Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        f"variables   {', '.join(variables) or 'none of ' + ', '.join(THREAD_VARIABLES)}",
    ]


def processor_name() -> str:
    """Return the processor's name as the kernel gives it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


class OtherWork:
    """What processes other than this one and its children do from now on."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._spent = _others_cpu_seconds()
        self._processes = _cpu_by_process()

    def cores(self) -> float:
        """How many cores others kept busy on average, those of other containers on this machine included."""
        return max(0.0, _others_cpu_seconds() - self._spent) / (time.perf_counter() - self._began)

    def busiest(self, count: int = 5) -> list[str]:
        """Names of the programs that took the most CPU time, each with the cores it kept busy."""
        seconds: defaultdict[str, float] = defaultdict(float)
        for (pid, began, name), spent in _cpu_by_process().items():
            seconds[name] += spent - self._processes.get((pid, began, name), 0.0)
        duration = time.perf_counter() - self._began
        most = sorted(seconds.items(), key=lambda entry: -entry[1])[:count]
        return [f"{name} {spent / duration:.2f}" for name, spent in most if spent > duration / 100]


def _others_cpu_seconds() -> float:
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq - tree_cpu_seconds()


def _cpu_by_process() -> dict[tuple[int, float, str], float]:
    """CPU seconds so far of every process that is not ours, by process id, start and program."""
    ours = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    found = {}
    for process in psutil.process_iter(["pid", "create_time", "name", "cpu_times"]):
        facts = process.info
        if facts["pid"] not in ours and facts["cpu_times"] is not None:
            found[facts["pid"], facts["create_time"], facts["name"]] = sum(facts["cpu_times"][:2])
    return found
