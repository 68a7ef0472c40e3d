"""Set-up is done once, again when something it depends on changed, and stops with the command to run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

STANDING = """
import sys
sys.path.insert(0, "deploy")
import bootstrap
made = [bootstrap.VENV_PYTHON, bootstrap.VENV / "bin" / "kinfolk", bootstrap.defaults_file()]
made += [bootstrap.jar_folder() / jar.file_name for jar in bootstrap.parse_lock(bootstrap.JAR_LOCK.read_text())]
for path in made:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
bootstrap.STAMP.write_text(bootstrap.fingerprint())
"""


def run_python(checkout: Path, *arguments: str, path: str = os.defpath) -> subprocess.CompletedProcess[str]:
    """Run Python in a checkout, with a cache folder of its own and nothing of the caller's environment."""
    environment = {"KINFOLK_CACHE": str(checkout / "cache"), "PATH": path, "HOME": str(checkout)}
    command = [sys.executable, "-B", *arguments]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)


def is_current(checkout: Path) -> bool:
    """Ask the checkout's own bootstrap whether its set-up still stands."""
    program = (
        "import sys; sys.path.insert(0, 'deploy'); import bootstrap; print(bootstrap.is_current(with_tests=False))"
    )
    answer = run_python(checkout, "-c", program)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip() == "True"


@pytest.fixture
def standing(checkout: Path) -> Path:
    """A checkout whose set-up stands, as far as the stamp and the files tell."""
    answer = run_python(checkout, "-c", STANDING)
    assert answer.returncode == 0, answer.stderr
    return checkout


def test_nothing_is_done_when_nothing_changed(standing: Path) -> None:
    assert is_current(standing)
    # With no program on the PATH at all, any step would fail.
    answer = run_python(standing, "deploy/bootstrap.py", path="/nonexistent")
    assert (answer.returncode, answer.stdout) == (0, "")


@pytest.mark.parametrize(
    "changed",
    [
        "deploy/bootstrap.py",
        "deploy/installation/jars.py",
        "deploy/locks/requirements.txt",
        "deploy/locks/jars.txt",
        "deploy/horovod/cxx20.patch",
    ],
)
def test_a_changed_file_sets_up_again(standing: Path, changed: str) -> None:
    with (standing / changed).open("a") as stream:
        stream.write("\n# changed\n")
    assert not is_current(standing)


def test_only_what_is_installed_counts_in_the_project_file(standing: Path) -> None:
    project = standing / "pyproject.toml"
    project.write_text(project.read_text().replace("line-length = 120", "line-length = 100"))
    assert is_current(standing)
    project.write_text(project.read_text().replace('"numpy==2.4.6"', '"numpy==2.4.7"'))
    assert not is_current(standing)


@pytest.mark.parametrize(
    "pattern", ["cache/jars/io.delta_delta-spark*.jar", ".venv/bin/python", ".venv/**/*-defaults.conf"]
)
def test_a_deleted_file_sets_up_again(standing: Path, pattern: str) -> None:
    [deleted] = standing.glob(pattern)
    deleted.unlink()
    assert not is_current(standing)


def test_a_missing_tool_stops_with_the_exact_command(checkout: Path) -> None:
    answer = run_python(checkout, "deploy/bootstrap.py", path="/nonexistent")
    assert answer.returncode == 4
    assert "Java 17 or newer" in answer.stderr
    assert "sudo apt-get update && sudo apt-get install -y --no-install-recommends" in answer.stderr
    assert "openjdk-17-jre-headless g++" in answer.stderr
    assert not (checkout / ".venv").exists()


def test_an_unknown_flavour_of_horovod_is_refused(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bootstrap
    from installation.checkout import SetupProblem

    monkeypatch.setenv("KINFOLK_HOROVOD", "mpi")
    with pytest.raises(SetupProblem, match="'mpi'; allowed are gloo and nccl"):
        bootstrap.chosen_flavour()
