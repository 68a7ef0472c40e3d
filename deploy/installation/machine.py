"""What the machine must bring: looked for as tools, installed as Debian packages where that is allowed."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from installation.checkout import SetupProblem, run_logged

MIN_JAVA = 17
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Tool:
    """Something looked for on the machine, and the Debian package that brings it."""

    name: str
    package: str
    is_there: Callable[[], bool]


def java_version(java: str) -> int | None:
    """Return the major version of a Java program, or None where it does not run."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError:
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(found.group(1)) if found else None


def has_java() -> bool:
    """Say whether the Java that Spark will start, JAVA_HOME's before PATH's, is new enough."""
    home = os.environ.get("JAVA_HOME")
    version = java_version(str(Path(home, "bin", "java")) if home else "java")
    return version is not None and version >= MIN_JAVA


def has_python_headers() -> bool:
    """Say whether C++ code can be compiled against this Python."""
    return Path(sysconfig.get_path("include"), "Python.h").is_file()


def has_chromium() -> bool:
    """Say whether a browser is there in which the report can be opened without a screen."""
    return any(shutil.which(name) for name in CHROMIUM_NAMES)


JAVA = Tool(f"Java {MIN_JAVA} or newer (JAVA_HOME, else PATH)", "openjdk-17-jre-headless", has_java)
COMPILER = Tool("a C++ compiler (g++)", "g++", lambda: shutil.which("g++") is not None)
MAKE = Tool("make", "make", lambda: shutil.which("make") is not None)
HEADERS = Tool("Python's headers (Python.h)", "python3.11-dev", has_python_headers)
PIP = Tool("pip, to fetch uv", "python3-pip", lambda: importlib.util.find_spec("pip") is not None)
CHROMIUM = Tool("Chromium, for the tests of the report", "chromium", has_chromium)


def install_commands(packages: Sequence[str]) -> list[list[str]]:
    """Return the commands that bring Debian packages, to be run by root."""
    return [["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", *packages]]


def administrator_prefix() -> list[str] | None:
    """Return what turns a command into root's: nothing for root, sudo without a password, or None for neither."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


def describe_missing(tools: Sequence[Tool]) -> str:
    """Say which tools are missing and the exact command that brings them."""
    commands = install_commands([tool.package for tool in tools])
    line = " && ".join(shlex.join(["sudo", *command]) for command in commands)
    names = "\n".join(f"  - {tool.name}" for tool in tools)
    return (
        f"This machine lacks:\n{names}\n"
        f"Install it, then run the same command again. On Debian and Ubuntu:\n\n    {line}\n"
    )


def install_packages(tools: Sequence[Tool], prefix: Sequence[str]) -> None:
    """Install the packages of the missing tools with apt-get; it asks nothing."""
    names = ", ".join(tool.package for tool in tools)
    print(f"      installing {names} with apt-get", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in install_commands([tool.package for tool in tools]):
        # env behind sudo: sudo drops the variables of the caller.
        asking_nothing = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", *command]
        run_logged(asking_nothing, doing=f"Installing {names}", env=environment)


def ensure_tools(tools: Sequence[Tool]) -> str:
    """See to it that every tool is there; return one line about it, raise SetupProblem where one stays missing."""
    missing = [tool for tool in tools if not tool.is_there()]
    if not missing:
        return "all there"
    prefix = administrator_prefix()
    if prefix is None or not shutil.which("apt-get"):
        raise SetupProblem(describe_missing(missing))
    install_packages(missing, prefix)
    still_missing = [tool for tool in missing if not tool.is_there()]
    if still_missing:
        raise SetupProblem("Installed, and still not found.\n" + describe_missing(still_missing))
    return "installed " + ", ".join(tool.package for tool in missing)
