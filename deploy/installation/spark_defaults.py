"""spark-defaults.conf: the three things that no session builder can set under spark-submit."""

from __future__ import annotations

import os
from pathlib import Path

from installation.checkout import VENV_PYTHON, spark_home
from installation.jars import JAR_LOCK, jar_folder, parse_lock

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
MIN_DRIVER_GB, MAX_DRIVER_GB = 1, 8


def defaults_file() -> Path:
    """Return the file that Spark reads its defaults from."""
    return spark_home() / "conf" / "spark-defaults.conf"


def machine_memory(limit_file: Path = CGROUP_LIMIT) -> int:
    """Return the bytes of memory there are: the machine's, or the container's where that is less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = limit_file.read_text(encoding="utf-8").strip() if limit_file.is_file() else "max"
    return min(physical, int(limit)) if limit.isdecimal() else physical


def driver_gigabytes(memory: int) -> int:
    """Return a quarter of the memory in whole GiB, at least 1 and at most 8."""
    return min(max(memory // 4 // 1024**3, MIN_DRIVER_GB), MAX_DRIVER_GB)


def render_defaults() -> str:
    """Return the text of spark-defaults.conf for this machine."""
    jars = parse_lock(JAR_LOCK.read_text(encoding="utf-8"))
    paths = ",".join(str(jar_folder() / jar.file_name) for jar in jars)
    return (
        "# Written by `make setup`; what spark-submit or a session builder is given wins over it.\n"
        f"spark.jars {paths}\n"
        f"spark.pyspark.python {VENV_PYTHON}\n"
        f"spark.driver.memory {driver_gigabytes(machine_memory())}g\n"
    )


def write_defaults() -> str:
    """Write spark-defaults.conf into the virtual environment's Spark; return one line about it."""
    path = defaults_file()
    path.parent.mkdir(exist_ok=True)
    path.write_text(render_defaults(), encoding="utf-8")
    return str(path)
