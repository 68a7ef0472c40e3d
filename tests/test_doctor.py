"""The doctor names what is wrong, in one line each, with the way to mend it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kinfolk import doctor
from kinfolk.doctor import Finding, Status
from kinfolk.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_a_wrong_and_a_missing_version_are_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy==0.0.1 \\\n    --hash=sha256:00\nno-such-package==3\n")
    finding = doctor.check_packages(tmp_path)
    assert finding.status is Status.PROBLEM
    assert f"numpy {doctor.installed_version('numpy')} (locked 0.0.1)" in finding.message
    assert "no-such-package missing (locked 3)" in finding.message
    assert "bootstrap.py --force" in finding.mend


def test_missing_java_is_named_with_the_package_that_brings_it(tmp_path: Path) -> None:
    for environment in ({"JAVA_HOME": str(tmp_path)}, {"PATH": str(tmp_path)}):
        finding = doctor.check_java(environment)
        assert finding.status is Status.PROBLEM
        assert "openjdk-17-jre-headless" in finding.mend


@pytest.mark.parametrize(
    ("says", "status"),
    [("11.0.2", Status.PROBLEM), ("1.8.0_292", Status.PROBLEM), ("17.0.15", Status.OK), ("21", Status.OK)],
)
def test_java_is_judged_by_what_it_says(tmp_path: Path, says: str, status: Status) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{says}\" 2026-01-01' >&2\n")
    java.chmod(0o755)
    finding = doctor.check_java({"JAVA_HOME": str(tmp_path)})
    assert finding.status is status
    assert says in finding.message


def test_jars_must_be_the_ones_that_were_locked(tmp_path: Path) -> None:
    jar = tmp_path / "io.delta_delta-spark_4.2_2.13-4.4.0.jar"
    jar.write_bytes(b"Delta")
    (tmp_path / "jars.txt").write_text(f"io.delta:delta-spark_4.2_2.13:4.4.0 sha256:{doctor.sha256_of(jar)}\n")
    defaults = {"spark.jars": str(jar)}
    assert doctor.check_jars(defaults, tmp_path).status is Status.OK
    jar.write_bytes(b"Delta, altered")
    assert "not the bytes that were locked: io.delta" in doctor.check_jars(defaults, tmp_path).message
    jar.unlink()
    assert "missing: io.delta" in doctor.check_jars(defaults, tmp_path).message
    assert "names no jar of Delta" in doctor.check_jars({}, tmp_path).message


def test_little_room_is_a_problem_before_it_is_used_up() -> None:
    assert doctor.grade_amount("disk", 0.4, 1, 5, mend="free some").status is Status.PROBLEM
    assert doctor.grade_amount("disk", 2.0, 1, 5, mend="free some").status is Status.NOTE
    assert doctor.grade_amount("disk", 80.0, 1, 5, mend="free some") == Finding("disk", Status.OK, "80.0 GiB")


def test_a_problem_decides_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    fine, odd = Finding("memory", Status.OK, "8 GiB"), Finding("npm", Status.NOTE, "not found", "make setup")
    assert doctor.print_findings([fine, odd]) == 0
    assert doctor.print_findings([fine, Finding("Java", Status.PROBLEM, "none", "install it")]) == 4
    assert capsys.readouterr().out.splitlines()[-1].split() == ["PROBLEM", "Java", "none", "->", "install", "it"]


def test_delta_is_written_and_read_through_a_python_worker(spark: SparkSession, tmp_path: Path) -> None:
    assert doctor.count_written_rows(spark, str(tmp_path / "probe")) == 3


def test_without_java_delta_is_not_tried() -> None:
    finding = doctor.check_delta(Settings(), Finding("Java", Status.PROBLEM, "none"))
    assert finding.status is Status.PROBLEM
    assert finding.mend == "mend Java first"


def test_this_environment_is_in_order() -> None:
    answer = subprocess.run([Path(sys.executable).parent / "kinfolk", "doctor"], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    for name in ("Python", "packages", "Java", "Horovod", "jars", "Delta"):
        assert any(line.split()[:2] == ["ok", name] for line in answer.stdout.splitlines()), answer.stdout
