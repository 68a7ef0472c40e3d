"""Writes the lock files anew: Python packages, uv, Horovod's build tools, Delta's jars."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from installation.checkout import LOCKS, ROOT, SetupProblem, cache_folder, sha256_of, spark_home
from installation.environment import find_uv
from installation.jars import JAR_LOCK, Jar, resolve

DELTA = "io.delta:delta-spark_4.2_2.13:4.4.0"
UV = ("uv>=0.8",)
HOROVOD_TOOLS = ("cmake>=3.30,<4", "packaging", "pip>=25", "setuptools==81.0.0", "wheel")
NVCC = (
    "nvidia-cuda-cccl<13.1",
    "nvidia-cuda-crt<13.1",
    "nvidia-cuda-nvcc<13.1",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-nvvm<13.1",
)
PETASTORM_READERS = (
    "numpy==1.26.4",
    "pandas==2.2.3",
    "petastorm==0.12.1",
    "pyarrow==14.0.2",
    "pyspark==4.2.0",
    "setuptools==81.0.0",
    "torch==2.12.1",
)
"""Petastorm's own readers, a peer in benchmarks: they need an Arrow that kinfolk does not run on."""
JOIN_PEERS = ("datasketch>=2,<3", "faiss-cpu==1.15.1", "numpy==2.4.6", "pyarrow==25.0.1")
"""Peers of the similarity join in benchmarks; numpy and pyarrow as kinfolk has them."""
RULE_PEERS = (
    "efficient-apriori>=2,<3",
    "mlxtend>=0.23,<0.25",
    "numpy==2.4.6",
    "pyarrow==25.0.1",
    "pyfim>=6.28,<7",
    "rusket",
    "scipy",
)
"""Peers of association rules in benchmarks; numpy and pyarrow as kinfolk has them."""
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")


def compile_lock(uv: Path, source: str, *arguments: str, lock: Path, upgrade: bool) -> None:
    """Pin requirements with the hashes of all their files; raise SetupProblem unless both platforms get the same."""
    for platform in PLATFORMS:
        before = lock.read_text(encoding="utf-8") if platform != PLATFORMS[0] else ""
        options = ["--python-version", "3.11", "--python-platform", platform, "--generate-hashes", "--quiet"]
        options += ["--no-emit-index-url", "--no-header", "--no-annotate", "--output-file", str(lock)]
        options += ["--upgrade"] if upgrade and platform == PLATFORMS[0] else []
        command = [str(uv), "pip", "compile", *options, *arguments]
        finished = subprocess.run(command, input=source, text=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        if finished.returncode != 0:
            raise SetupProblem(f"uv could not resolve {lock.name}; its reason stands above.")
        if before and lock.read_text(encoding="utf-8") != before:
            raise SetupProblem(f"{lock.name} comes out differently for {platform}: one lock cannot serve both.")


def coordinate_of(file_name: str) -> str:
    """Return group:artifact:version of a jar that Ivy named group_artifact-version.jar."""
    found = re.fullmatch(r"([^_]+)_(.+?)-(\d[^-]*(?:-\d+)?)\.jar", file_name)
    if found is None:
        raise SetupProblem(f"Ivy fetched {file_name}, a name that does not read as group_artifact-version.jar.")
    return ":".join(found.groups())


def is_shipped_by_spark(coordinate: str) -> bool:
    """Say whether Spark brings this artifact itself; its own version is loaded first and wins in any case."""
    artifact = re.escape(coordinate.split(":")[1])
    return any(re.match(rf"{artifact}-\d", jar.name) for jar in (spark_home() / "jars").iterdir())


def write_jar_lock() -> None:
    """Resolve Delta and write its lock: Delta first, then what it needs and Spark does not ship."""
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="ivy-") as ivy:
        fetched = resolve(DELTA, Path(ivy))
        jars = [Jar(coordinate_of(path.name), sha256_of(path)) for path in sorted(fetched.iterdir())]
    needed = [jar for jar in jars if not is_shipped_by_spark(jar.coordinate)]
    needed.sort(key=lambda jar: (jar.coordinate != DELTA, jar.coordinate))
    header = "# Written by `make lock`: what Delta needs at run time and Spark does not ship itself.\n"
    lines = [f"{jar.coordinate} sha256:{jar.sha256}\n" for jar in needed]
    JAR_LOCK.write_text(header + "".join(lines), encoding="utf-8")


def write_locks(*, upgrade: bool) -> None:
    """Write every lock; with upgrade, to the newest versions that pyproject.toml allows."""
    uv = find_uv()
    if uv is None:
        raise SetupProblem("Locks are written with uv: run `make setup` first.")
    compile_lock(uv, "", "pyproject.toml", "--extra", "dev", lock=LOCKS / "requirements.txt", upgrade=upgrade)
    named = {
        "uv": UV,
        "horovod-tools": HOROVOD_TOOLS,
        "horovod-nvcc": NVCC,
        "peers-join": JOIN_PEERS,
        "peers-rules": RULE_PEERS,
        "peers-petastorm": PETASTORM_READERS,
    }
    for name, requirements in named.items():
        compile_lock(uv, "\n".join(requirements), "-", lock=LOCKS / f"{name}.txt", upgrade=upgrade)
    write_jar_lock()
