"""Horovod's wheel: built from the patched sdist against the virtual environment's torch, kept in the cache folder.

Gloo, the default, needs a C++ compiler and Python's headers. NCCL, for machines with NVIDIA GPUs, takes CUDA's compiler
and headers from PyPI wheels and links the NCCL library that torch brings. Neither needs a GPU while it is built.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from installation.checkout import (
    LOCKS,
    ROOT,
    VENV_PYTHON,
    SetupProblem,
    cache_folder,
    run_logged,
    sha256_of,
)
from installation.environment import ensure_uv, environment_with_venv, install_locked, locked_version, uv_pip
from installation.machine import COMPILER, HEADERS, MAKE, describe_missing

SDIST_LOCK = LOCKS / "horovod.txt"
PATCH = ROOT / "deploy" / "horovod" / "cxx20.patch"
FLAVOURS = ("gloo", "nccl")
BYTES_PER_COMPILER = 2 * 1024**3
"""Room for one compiler process, which takes about 1 GB with torch's headers, and for what else runs."""


def wheel_folder(flavour: str) -> Path:
    """Return the folder of a wheel, named after everything that it depends on."""
    version = locked_version(SDIST_LOCK, "horovod")
    torch = locked_version(LOCKS / "requirements.txt", "torch")
    patch = sha256_of(PATCH)[:8]
    return cache_folder() / "horovod" / f"{version}-torch{torch}-{patch}-{flavour}-cp311-{platform.machine()}"


def cached_wheel(folder: Path) -> Path | None:
    """Return the wheel that a folder keeps, or None where there is none or it was altered since."""
    for wheel in folder.glob("*.whl"):
        record = wheel.with_suffix(".sha256")
        if record.is_file() and record.read_text(encoding="utf-8") == sha256_of(wheel):
            return wheel
    return None


def ensure_wheel(flavour: str) -> Path:
    """Return Horovod's wheel, built where the cache has none; raises SetupProblem with what is missing."""
    folder = wheel_folder(flavour)
    wheel = cached_wheel(folder)
    if wheel:
        return wheel
    missing = [tool for tool in (COMPILER, HEADERS, MAKE) if not tool.is_there()]
    if missing:
        raise SetupProblem("Horovod cannot be built.\n" + describe_missing(missing))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="build-") as scratch:
        built = build_wheel(flavour, Path(scratch))
        shutil.rmtree(folder, ignore_errors=True)
        built.replace(folder)
    return next(folder.glob("*.whl"))


def build_wheel(flavour: str, scratch: Path) -> Path:
    """Fetch, patch and compile Horovod in a scratch folder; return the folder that holds the wheel and its hash."""
    tools = scratch / "tools"
    install_tools(flavour, tools)
    source = unpack_sdist(fetch_sdist(tools), scratch)
    apply_patch(source)
    environment = build_environment(tools)
    if flavour == "nccl":
        environment |= nccl_environment(tools, scratch / "nccl")
    built = scratch / "wheel"
    command = [VENV_PYTHON, "-m", "pip", "wheel", source, "--no-deps", "--no-build-isolation", "--wheel-dir", built]
    print("      compiling, about 4 minutes on two cores", flush=True)
    run_logged([*command, "--verbose"], doing="Building Horovod", env=environment)
    wheel = next(built.glob("*.whl"))
    wheel.with_suffix(".sha256").write_text(sha256_of(wheel), encoding="utf-8")
    return built


def install_tools(flavour: str, tools: Path) -> None:
    """Put the build's own tools, cmake below 4 among them, into a private folder; hashes checked."""
    names = ["horovod-tools.txt", *(["horovod-nvcc.txt"] if flavour == "nccl" else [])]
    locks = [LOCKS / name for name in names]
    install_locked(ensure_uv(), locks, "--target", tools, doing="Fetching Horovod's build tools")


def build_environment(tools: Path) -> dict[str, str]:
    """Return the environment of a build that uses the private tools and the virtual environment's torch."""
    environment = environment_with_venv()
    cmake = tools / "cmake" / "data" / "bin"
    environment["PATH"] = os.pathsep.join([str(cmake), environment["PATH"]])
    environment["PYTHONPATH"] = str(tools)
    # Replaces what `make setup` itself hands down, which would make Horovod's build use one process.
    environment["MAKEFLAGS"] = f"-j{compiler_processes()}"
    switches = ("WITH_PYTORCH", "WITH_GLOO", "WITHOUT_MPI", "WITHOUT_TENSORFLOW", "WITHOUT_MXNET")
    environment |= {f"HOROVOD_{switch}": "1" for switch in switches}
    environment["HOROVOD_CPU_OPERATIONS"] = "GLOO"
    return environment


def compiler_processes() -> int:
    """Return how many compilers run at once: one a core, as far as memory goes."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(len(os.sched_getaffinity(0)), memory // BYTES_PER_COMPILER))


def nccl_environment(tools: Path, nccl: Path) -> dict[str, str]:
    """Return what tells Horovod's cmake where CUDA and NCCL are, after laying NCCL out as it expects it."""
    packages = VENV_PYTHON.parents[1] / "lib" / "python3.11" / "site-packages"
    brought = packages / "nvidia" / "nccl"
    (nccl / "lib").mkdir(parents=True)
    (nccl / "include").symlink_to(brought / "include")
    # The wheels have their libraries under run-time names only; cmake and the linker ask for lib….so.
    (nccl / "lib" / "libnccl.so").symlink_to(brought / "lib" / "libnccl.so.2")
    cuda = tools / "nvidia" / "cu13"
    (cuda / "lib64").symlink_to("lib")
    (cuda / "lib" / "libcudart.so").symlink_to("libcudart.so.13")
    return {
        "HOROVOD_GPU_OPERATIONS": "NCCL",
        "HOROVOD_CUDA_HOME": str(cuda),
        "HOROVOD_NCCL_HOME": str(nccl),
        "HOROVOD_NCCL_LINK": "SHARED",
        "CUDACXX": str(cuda / "bin" / "nvcc"),
        "CUDA_HOME": str(cuda),
    }


def fetch_sdist(tools: Path) -> Path:
    """Return the sdist from the cache folder, fetched anew where it is missing or differs from its lock."""
    sdist = cache_folder() / "horovod" / f"horovod-{locked_version(SDIST_LOCK, 'horovod')}.tar.gz"
    if is_locked_sdist(sdist):
        return sdist
    sdist.unlink(missing_ok=True)
    options = ["--no-deps", "--no-binary", "horovod", "--no-build-isolation", "--require-hashes", "-r", SDIST_LOCK]
    command = [VENV_PYTHON, "-m", "pip", "download", *options, "--dest", sdist.parent]
    run_logged(command, doing="Fetching Horovod's source", env=build_environment(tools))
    return sdist


def is_locked_sdist(sdist: Path) -> bool:
    """Say whether the file is there with the SHA-256 that the lock allows."""
    allowed = re.findall(r"sha256:([0-9a-f]{64})", SDIST_LOCK.read_text(encoding="utf-8"))
    return sdist.is_file() and sha256_of(sdist) in allowed


def unpack_sdist(sdist: Path, scratch: Path) -> Path:
    """Unpack the sdist; return its top folder."""
    with tarfile.open(sdist) as archive:
        archive.extractall(scratch, filter="data")
    return scratch / sdist.name.removesuffix(".tar.gz")


def apply_patch(source: Path) -> None:
    """Apply the patch with git; raise SetupProblem if any part of it does not fit."""
    run_logged(["git", "apply", "--verbose", PATCH], doing=f"Applying {PATCH.name}", cwd=source)


def install_wheel(flavour: str) -> str:
    """Install Horovod's wheel into the virtual environment and prove that it works there."""
    wheel = ensure_wheel(flavour)
    options = ["--no-deps", "--offline", "--reinstall-package", "horovod"]
    uv_pip(ensure_uv(), "install", *options, wheel, doing="Installing Horovod")
    return verify_build(flavour)


def verify_build(flavour: str) -> str:
    """Import Horovod as a rank would; return one line, raise SetupProblem if the asked-for operations are not in."""
    program = f"import pyarrow, horovod, horovod.torch as ranks; print(horovod.__version__, ranks.{flavour}_built())"
    answer = subprocess.run([VENV_PYTHON, "-c", program], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    version, _, built = answer.stdout.strip().partition(" ")
    if answer.returncode != 0 or built in ("", "0", "False"):
        raise SetupProblem(
            f"Horovod's wheel does not work with {flavour}:\n{answer.stderr[-2000:]}\n"
            f"Build it anew: delete {wheel_folder(flavour)} and run `make setup`."
        )
    return f"Horovod {version} with {flavour}"
