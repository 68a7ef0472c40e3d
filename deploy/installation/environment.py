"""The virtual environment: uv, the locked packages, kinfolk itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from installation.checkout import LOCKS, ROOT, VENV, VENV_PYTHON, SetupProblem, cache_folder, run_logged

MIN_UV = (0, 8)


def find_uv() -> Path | None:
    """Return a uv that is new enough, from PATH or from the cache folder; None where there is none."""
    for candidate in (shutil.which("uv"), cached_uv()):
        if candidate and Path(candidate).is_file() and uv_version(Path(candidate)) >= MIN_UV:
            return Path(candidate)
    return None


def uv_version(uv: Path) -> tuple[int, ...]:
    """Return the version of a uv program, or (0,) where it does not run."""
    try:
        answer = subprocess.run([uv, "--version"], capture_output=True, text=True).stdout
    except OSError:
        return (0,)
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", answer)
    return tuple(map(int, found.groups())) if found else (0,)


def cached_uv() -> Path:
    """Return where set-up keeps the uv that it fetched itself."""
    version = locked_version(LOCKS / "uv.txt", "uv")
    return cache_folder() / f"uv-{version}" / "bin" / "uv"


def locked_version(lock: Path, package: str) -> str:
    """Return the version that a lock file pins a package to."""
    found = re.search(rf"^{re.escape(package)}==([^\s\\;]+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{lock} pins no {package}")
    return found.group(1)


def ensure_uv() -> Path:
    """Return a uv, fetched by pip with its hash checked where the machine has none."""
    uv = find_uv()
    if uv:
        return uv
    home = cached_uv().parents[1]
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        # --target leaves the system's Python alone, so distributions that forbid pip there allow it.
        options = ["--require-hashes", "--only-binary", ":all:", "--target", scratch, "-r", LOCKS / "uv.txt"]
        run_logged([sys.executable, "-m", "pip", "install", *options], doing="Fetching uv")
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(scratch, home, symlinks=True)
    return cached_uv()


def uv_pip(uv: Path, action: str, *arguments: str | Path, doing: str) -> None:
    """Run one of uv's pip commands on the virtual environment."""
    run_logged([uv, "pip", action, "--python", VENV_PYTHON, *arguments], doing=doing)


def install_requirements(uv: Path) -> str:
    """Make the virtual environment hold exactly what the lock names; every file is checked against its hash."""
    if not VENV_PYTHON.exists():
        run_logged([uv, "venv", "--clear", "--python", sys.executable, VENV], doing="Making the virtual environment")
    lock = LOCKS / "requirements.txt"
    install_locked(uv, [lock], doing="Installing the locked packages")
    stray = stray_packages(lock)
    if stray:
        uv_pip(uv, "uninstall", *stray, doing="Removing packages that are no longer locked")
    return f"{len(locked_names(lock))} packages" + (f", removed {', '.join(stray)}" if stray else "")


def install_locked(uv: Path, locks: Sequence[Path], *options: str | Path, doing: str) -> None:
    """Install what lock files name, from uv's cache alone where it holds everything, else over the network."""
    # A lock names all that is needed; without --no-deps uv would ask the index about it nonetheless.
    arguments = [
        "--no-deps",
        "--require-hashes",
        *options,
        *(part for lock in locks for part in ("--requirements", lock)),
    ]
    try:
        uv_pip(uv, "install", "--offline", *arguments, doing=doing)
    except SetupProblem:
        uv_pip(uv, "install", *arguments, doing=doing)


def locked_names(lock: Path) -> set[str]:
    """Return the names of the packages that a lock pins, normalised: lower case, runs of -_. as one hyphen."""
    names = re.findall(r"^([A-Za-z0-9._-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return {normalise_name(name) for name in names}


def normalise_name(name: str) -> str:
    """Return a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def stray_packages(lock: Path) -> list[str]:
    """Return what is installed and is neither locked nor put there by later steps, as Horovod and kinfolk are.

    `uv pip sync` would remove those two as well, and take them away from whatever runs here until they are back.
    """
    folder = VENV / "lib" / "python3.11" / "site-packages"
    installed = {normalise_name(path.name.split("-")[0]) for path in folder.glob("*.dist-info")}
    return sorted(installed - locked_names(lock) - {"horovod", "kinfolk"})


def install_project(uv: Path) -> str:
    """Install kinfolk itself, editable, without a network: its build tools are among the locked packages."""
    options = ["--no-deps", "--no-build-isolation", "--offline"]
    uv_pip(uv, "install", *options, "--editable", ROOT, doing="Installing kinfolk")
    return f"kinfolk from {ROOT}"


def environment_with_venv() -> dict[str, str]:
    """Return this process's environment with the virtual environment's programs first in PATH."""
    path = os.pathsep.join([str(VENV / "bin"), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "VIRTUAL_ENV": str(VENV)}
