"""Delta's jars: resolved by Maven coordinates through Spark's own Ivy, pinned by SHA-256, kept as local files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from installation.checkout import LOCKS, VENV_PYTHON, SetupProblem, cache_folder, run_logged, sha256_of, spark_home

JAR_LOCK = LOCKS / "jars.txt"


@dataclass(frozen=True)
class Jar:
    """One line of the lock: a Maven coordinate group:artifact:version and the SHA-256 of its jar."""

    coordinate: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name that Ivy gives the jar, which keeps equal artifact names of two groups apart."""
        group, artifact, version = self.coordinate.split(":")
        return f"{group}_{artifact}-{version}.jar"


def parse_lock(text: str) -> list[Jar]:
    """Return the jars that a lock names, the one asked for first; lines that start with # are comments."""
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [Jar(coordinate, digest.removeprefix("sha256:")) for coordinate, digest in lines]


def jar_folder() -> Path:
    """Return the folder in which jars are kept between set-ups."""
    return cache_folder() / "jars"


def is_intact(jar: Jar, folder: Path) -> bool:
    """Say whether the jar is there with the bytes that the lock promises."""
    path = folder / jar.file_name
    return path.is_file() and sha256_of(path) == jar.sha256


def remove_damaged(jars: Iterable[Jar], folder: Path) -> list[Jar]:
    """Delete every jar that differs from the lock; return those that must be fetched."""
    missing = [jar for jar in jars if not is_intact(jar, folder)]
    for jar in missing:
        (folder / jar.file_name).unlink(missing_ok=True)
    return missing


def keep_jars(fetched: Path, jars: Sequence[Jar], folder: Path) -> None:
    """Move fetched jars to where they are kept; raise SetupProblem, and keep none, if one differs from the lock."""
    wrong = [jar for jar in jars if not is_intact(jar, fetched)]
    if wrong:
        raise SetupProblem(describe_mismatch(wrong, fetched))
    folder.mkdir(parents=True, exist_ok=True)
    for jar in jars:
        shutil.move(fetched / jar.file_name, folder / jar.file_name)


def describe_mismatch(wrong: Sequence[Jar], fetched: Path) -> str:
    """Name each refused jar with the hash that came and the one allowed."""
    lines = []
    for jar in wrong:
        path = fetched / jar.file_name
        came = sha256_of(path) if path.is_file() else "no file"
        lines.append(f"  {jar.coordinate}\n    came:    {came}\n    allowed: {jar.sha256}")
    listed = "\n".join(lines)
    return (
        f"Jars do not match {JAR_LOCK.name} and were deleted:\n{listed}\n"
        "Run `make setup` again to fetch them anew. If it stays so, the repository that Ivy is pointed at serves other "
        "bytes; after changing versions on purpose, write the lock again with `make lock`."
    )


def resolve(coordinate: str, ivy: Path) -> Path:
    """Fetch a coordinate and all it depends on into an Ivy folder; return the folder that holds the jars."""
    script, no_defaults = ivy / "nothing.py", ivy / "empty.conf"
    ivy.mkdir(parents=True, exist_ok=True)
    script.write_text("", encoding="utf-8")
    no_defaults.write_text("", encoding="utf-8")
    # Submitting an empty script resolves the packages and starts no Spark context. An empty properties file keeps
    # an older spark-defaults.conf, whose jars may be gone, out of it.
    options = ["--properties-file", no_defaults, "--conf", f"spark.jars.ivy={ivy}", "--packages", coordinate]
    env = {**os.environ, "SPARK_HOME": str(spark_home()), "PYSPARK_PYTHON": str(VENV_PYTHON)}
    command = [spark_home() / "bin" / "spark-submit", "--master", "local[1]", *options, script]
    run_logged(command, doing=f"Resolving {coordinate}", env=env)
    return ivy / "jars"


def ensure_jars() -> str:
    """See to it that every locked jar lies in the cache folder, intact; fetches only where one is not."""
    jars = parse_lock(JAR_LOCK.read_text(encoding="utf-8"))
    folder = jar_folder()
    missing = remove_damaged(jars, folder)
    if missing:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="ivy-") as ivy:
            keep_jars(resolve(jars[0].coordinate, Path(ivy)), missing, folder)
    return f"{len(jars)} jars, {len(missing)} fetched"
