"""Spark's configuration files: what no session builder can set under spark-submit, and how much Spark says."""

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


LOG_SETTINGS = """\
# Written by `make setup`. Warnings go to stderr, but for those that every start on one machine would bring.
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.address.name = org.apache.spark.util.Utils
logger.address.level = error
"""


def write_defaults() -> str:
    """Write Spark's configuration into the virtual environment's Spark; return one line about it."""
    path = defaults_file()
    path.parent.mkdir(exist_ok=True)
    path.write_text(render_defaults(), encoding="utf-8")
    path.with_name("log4j2.properties").write_text(LOG_SETTINGS, encoding="utf-8")
    return str(path)
