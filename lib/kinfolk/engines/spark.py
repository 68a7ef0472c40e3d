"""The only builder of Spark sessions."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING

from kinfolk.errors import EnvironmentProblem
from kinfolk.settings import SparkSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_EVERYWHERE = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    # Otherwise times are written in an old form, which other readers take for nanoseconds: they begin in 1677.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # A second copy of a task would be a second rank of a training, or a second writer of a file.
    "spark.speculation": "false",
}

# One machine has no use for hundreds of tiny partitions, a web server or a name that others can reach.
_ONE_MACHINE = {
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}


def build_session(application: str, settings: SparkSettings) -> SparkSession:
    """Build a session, or join the running one, setting only what nobody set before.

    What spark-submit, its configuration files or the environment set wins. Raises EnvironmentProblem where there is no
    Java to start.
    """
    _require_java()
    # Workers and ranks must be started with this environment's Python, also where it is not activated.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if settings.master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    os.environ.setdefault("SPARK_HOME", _spark_home())
    SparkContext._ensure_initialized()
    conf = SparkConf(_jvm=SparkContext._jvm)
    conf.setIfMissing("spark.master", settings.master)
    wanted = dict(_EVERYWHERE)
    wanted["spark.app.name"] = application
    wanted["spark.sql.shuffle.partitions"] = str(settings.shuffle_partitions)
    if (conf.get("spark.master") or "").startswith("local"):
        wanted |= _ONE_MACHINE
        wanted["spark.sql.warehouse.dir"] = os.path.join(tempfile.gettempdir(), "kinfolk-warehouse")
    for name, value in wanted.items():
        conf.setIfMissing(name, value)
    if not _is_submitted():
        # Spark sets this itself for what it takes for a shell; progress is reported by the run.
        conf.set("spark.ui.showConsoleProgress", "false")
    session = SparkSession.builder.config(conf=conf).getOrCreate()
    if not _is_submitted():
        # A failed task comes back as an exception, which the run explains in one line and keeps whole in a file.
        session.sparkContext.setLogLevel("OFF")
    return session


def _is_submitted() -> bool:
    """Whether spark-submit started this process, rather than the process its JVM."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def _spark_home() -> str:
    import pyspark

    return os.path.dirname(pyspark.__file__)


def _require_java() -> None:
    """Fail early and clearly; under spark-submit the JVM is there already."""
    if _is_submitted():
        return
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")
    if not java or not os.access(java, os.X_OK):
        place = f"JAVA_HOME is {home}, and there is no bin/java in it" if home else "there is no java on the PATH"
        raise EnvironmentProblem(f"Spark needs Java 17, and {place}; install it (Debian: openjdk-17-jre-headless)")
