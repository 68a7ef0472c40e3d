"""Where tasks run, and what they may use there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING

from kinfolk.errors import SettingsError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def is_one_machine(spark: SparkSession) -> bool:
    """Whether all tasks run in one process of this machine."""
    return (spark.sparkContext.master or "").startswith("local")


def count_cores(spark: SparkSession) -> int:
    """Cores of a task that does it all: where one machine does all the work, the others have nothing else to do."""
    return spark.sparkContext.defaultParallelism if is_one_machine(spark) else count_task_cores(spark)


def count_task_cores(spark: SparkSession) -> int:
    """Cores that every task has for itself."""
    return int(spark.sparkContext.getConf().get("spark.task.cpus") or 1)


def open_scratch(spark: SparkSession, scratch: str | None, *, name: str) -> tuple[str, Callable[[], None]]:
    """The folder for results on their way, and how to remove it; one that was given is left to its owner.

    Raises SettingsError where none was given and tasks may run on other machines.
    """
    if scratch is not None:
        return scratch, lambda: None
    if not is_one_machine(spark):
        raise SettingsError(
            f"the session runs on {spark.sparkContext.master}, whose executors may lie on other machines: give "
            "scratch=, a folder that all of them reach"
        )
    folder = tempfile.mkdtemp(prefix=f"kinfolk-{name}-")
    return folder, lambda: shutil.rmtree(folder, ignore_errors=True)
