"""What `kinfolk doctor` checks on this machine: each finding in one line, with how to mend it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from kinfolk.errors import EnvironmentProblem
from kinfolk.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MIN_JAVA = 17
MIN_MEMORY_GB, GOOD_MEMORY_GB = 4, 8
MIN_DISK_GB, GOOD_DISK_GB = 1, 5
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Shown for what a fresh set-up mends.
SET_UP = "python3 deploy/bootstrap.py --force"


class Status(Enum):
    """How grave a finding is: in order, worth knowing, or in the way of a run."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "PROBLEM"


@dataclass(frozen=True)
class Finding:
    """What one check found, and how to mend it where it is not in order."""

    name: str
    status: Status
    message: str
    mend: str = ""


def run_doctor(settings: Settings) -> list[Finding]:
    """Check the set-up and this machine, a Delta table written and read by Spark among it; about half a minute."""
    locks = find_locks()
    java = check_java(os.environ)
    return [
        check_python(),
        check_packages(locks),
        java,
        check_memory(),
        *check_disks(settings),
        check_horovod(),
        check_jars(read_spark_defaults(), locks),
        check_delta(settings, java),
        check_npm(),
        check_chromium(),
    ]


def print_findings(findings: Iterable[Finding]) -> int:
    """Print one line a finding; return the exit code: 0, or 4 if any is in the way of a run."""
    exit_code = 0
    for finding in findings:
        mend = f" -> {finding.mend}" if finding.mend else ""
        print(f"{finding.status.value:8}{finding.name:14}{finding.message}{mend}")
        if finding.status is Status.PROBLEM:
            exit_code = EnvironmentProblem.exit_code
    return exit_code


def find_locks() -> Path | None:
    """Return the checkout's folder of lock files, or None where kinfolk was installed without a checkout."""
    folder = Path(__file__).resolve().parents[2] / "deploy" / "locks"
    return folder if folder.is_dir() else None


def check_python() -> Finding:
    """Check that this is the Python that everything is locked for."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        return Finding("Python", Status.OK, f"{version} ({sys.executable})")
    return Finding("Python", Status.PROBLEM, f"{version}; kinfolk needs 3.11", "make setup PYTHON=/path/to/python3.11")


def check_packages(locks: Path | None) -> Finding:
    """Compare the version of every installed package with the lock."""
    if locks is None:
        return Finding("packages", Status.NOTE, "no deploy/locks beside this installation, versions not compared")
    text = (locks / "requirements.txt").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s\\;]+)", text, re.MULTILINE))
    wrong = [describe_version(name, version) for name, version in locked.items() if installed_version(name) != version]
    if wrong:
        return Finding("packages", Status.PROBLEM, f"not as locked: {', '.join(wrong)}", SET_UP)
    return Finding("packages", Status.OK, f"{len(locked)} as locked")


def installed_version(name: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def describe_version(name: str, locked: str) -> str:
    """Say which version of a package is there and which should be."""
    return f"{name} {installed_version(name) or 'missing'} (locked {locked})"


def check_java(environment: Mapping[str, str]) -> Finding:
    """Check the Java that Spark would start: JAVA_HOME's, else the first on the PATH."""
    home = environment.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java", path=environment.get("PATH"))
    mend = f"install Java {MIN_JAVA} (Debian: sudo apt-get install openjdk-17-jre-headless) or set JAVA_HOME to one"
    if java is None or not os.access(java, os.X_OK):
        where = f"none at JAVA_HOME={home}" if home else "none on the PATH"
        return Finding("Java", Status.PROBLEM, where, mend)
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = re.search(r'version "((?:1\.)?(\d+)[^"]*)', answer.stderr + answer.stdout)
    if found is None:
        return Finding("Java", Status.PROBLEM, f"{java} does not say its version", mend)
    if int(found.group(2)) < MIN_JAVA:
        return Finding("Java", Status.PROBLEM, f"{found.group(1)} ({java}) is older than {MIN_JAVA}", mend)
    return Finding("Java", Status.OK, f"{found.group(1)} ({java})")


def check_memory() -> Finding:
    """Check that a driver, its Python workers and two ranks fit."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    mend = "run on a larger machine or a smaller table; spark.driver.memory stands in spark-defaults.conf"
    return grade_amount("memory", gigabytes, MIN_MEMORY_GB, GOOD_MEMORY_GB, mend=mend)


def check_disks(settings: Settings) -> list[Finding]:
    """Check the room left where the lake lies, if that is a local folder, and where Spark spills."""
    places = {"spills": Path(tempfile.gettempdir())}
    if "://" not in settings.lake.root:
        places["lake"] = nearest_folder(Path(settings.lake.root))
    return [
        grade_amount(
            f"disk, {name}",
            shutil.disk_usage(folder).free / 1024**3,
            MIN_DISK_GB,
            GOOD_DISK_GB,
            mend=f"free some room at {folder}" + (", or set SPARK_LOCAL_DIRS" if name == "spills" else ""),
        )
        for name, folder in places.items()
    ]


def nearest_folder(path: Path) -> Path:
    """Return the path itself, or its nearest parent that exists."""
    return next(folder for folder in [path.absolute(), *path.absolute().parents] if folder.exists())


def grade_amount(name: str, gigabytes: float, least: float, good: float, *, mend: str) -> Finding:
    """Grade an amount in GiB: below the least a problem, below the good one worth knowing."""
    message = f"{gigabytes:.1f} GiB"
    if gigabytes < least:
        return Finding(name, Status.PROBLEM, f"{message}, at least {least} are needed", mend)
    if gigabytes < good:
        return Finding(name, Status.NOTE, f"{message}, {good} are comfortable", mend)
    return Finding(name, Status.OK, message)


def check_horovod() -> Finding:
    """Import Horovod as a rank would, in a process of its own, and ask what it was built for."""
    program = (
        "import pyarrow, torch, horovod, horovod.torch as ranks;"
        "print(horovod.__version__, torch.__version__, ranks.gloo_built(), ranks.nccl_built())"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if answer.returncode != 0:
        return Finding("Horovod", Status.PROBLEM, last_line(answer.stderr), "make horovod")
    version, torch, has_gloo, nccl = answer.stdout.split()
    if has_gloo != "True":
        return Finding("Horovod", Status.PROBLEM, f"{version} is built without Gloo", "make horovod")
    operations = "Gloo and NCCL" if int(nccl) else "Gloo"
    return Finding("Horovod", Status.OK, f"{version} with {operations}, for torch {torch}")


def last_line(text: str) -> str:
    """Return the last line of a program's output that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")


def read_spark_defaults() -> dict[str, str]:
    """Return what the spark-defaults.conf says that a session started here would read."""
    spark = importlib.metadata.distribution("pyspark").locate_file("pyspark")
    home = os.environ.get("SPARK_HOME", str(spark))
    path = Path(os.environ.get("SPARK_CONF_DIR", str(Path(home, "conf"))), "spark-defaults.conf")
    if not path.is_file():
        return {}
    lines = [line.split(None, 1) for line in path.read_text(encoding="utf-8").splitlines()]
    return {parts[0]: parts[1].strip() for parts in lines if len(parts) == 2 and not parts[0].startswith("#")}


def check_jars(defaults: Mapping[str, str], locks: Path | None) -> Finding:
    """Check that the jars Spark is told to load are there, unaltered, and Delta's among them."""
    paths = [Path(path) for path in defaults.get("spark.jars", "").split(",") if path]
    if not any("delta-spark" in path.name for path in paths):
        mend = f"{SET_UP}; unset SPARK_HOME and SPARK_CONF_DIR if they name another Spark"
        return Finding("jars", Status.PROBLEM, "spark-defaults.conf names no jar of Delta", mend)
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        return Finding("jars", Status.PROBLEM, f"missing: {', '.join(missing)}", SET_UP)
    allowed = set(re.findall(r"sha256:([0-9a-f]{64})", (locks / "jars.txt").read_text("utf-8"))) if locks else set()
    altered = [path.name for path in paths if locks and sha256_of(path) not in allowed]
    if altered:
        return Finding("jars", Status.PROBLEM, f"not the bytes that were locked: {', '.join(altered)}", SET_UP)
    return Finding("jars", Status.OK, f"{len(paths)} {'as locked' if locks else 'present'}")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_delta(settings: Settings, java: Finding) -> Finding:
    """Write a Delta table of three rows with Spark in a temporary folder, and read it back."""
    if java.status is Status.PROBLEM:
        return Finding("Delta", Status.PROBLEM, "not tried, for want of Java", "mend Java first")
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    from kinfolk.engines.spark import build_session

    try:
        session = build_session("kinfolk-doctor", settings.spark.model_copy(update={"master": "local[1]"}))
        with tempfile.TemporaryDirectory(prefix="kinfolk-doctor-") as folder:
            rows = count_written_rows(session, f"{folder}/probe")
        session.stop()
    except (EnvironmentProblem, PySparkException, Py4JError, OSError) as error:
        return Finding("Delta", Status.PROBLEM, f"Spark cannot write a table here: {first_line(error)}", SET_UP)
    if rows != 3:
        return Finding("Delta", Status.PROBLEM, f"wrote 3 rows and read {rows}", SET_UP)
    return Finding("Delta", Status.OK, "written and read by Spark")


def count_written_rows(session: SparkSession, path: str) -> int:
    """Write three rows as a Delta table and return how many are read back, through a Python worker."""
    session.range(3).write.format("delta").save(path)
    table = session.read.format("delta").load(path)
    return table.mapInArrow(lambda batches: batches, table.schema).count()


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def check_npm() -> Finding:
    """Look for npm, which fetches the demo data."""
    beside = Path(sys.executable).parent / "npm"
    npm = str(beside) if beside.exists() else shutil.which("npm")
    if npm:
        return Finding("npm", Status.OK, npm)
    return Finding("npm", Status.NOTE, "not found; only the demo data needs it", SET_UP)


def check_chromium() -> Finding:
    """Look for a browser without a screen, which the tests of the report use."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found:
        return Finding("Chromium", Status.OK, found)
    mend = "make test installs it (Debian: sudo apt-get install chromium)"
    return Finding("Chromium", Status.NOTE, "not found; only the tests need it", mend)
