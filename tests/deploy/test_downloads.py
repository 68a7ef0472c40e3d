"""What was tampered with is refused, deleted and fetched again."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from installation import horovod, jars
from installation.checkout import SetupProblem, sha256_of
from installation.jars import Jar
from installation.locks import coordinate_of

Repository = Callable[[str, Path], Path]


@pytest.fixture
def kept_jars() -> Path:
    """The jars that set-up fetched, intact."""
    folder = jars.jar_folder()
    assert all(jars.is_intact(jar, folder) for jar in jars.parse_lock(jars.JAR_LOCK.read_text()))
    return folder


@pytest.fixture
def cache(kept_jars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, filled with intact jars."""
    shutil.copytree(kept_jars, tmp_path / "cache" / "jars")
    monkeypatch.setenv("KINFOLK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def serving(folder: Path, *, damaged: bool = False) -> Repository:
    """Stand for a repository that serves the jars of a folder, as they are or damaged."""

    def resolve(coordinate: str, ivy: Path) -> Path:
        assert coordinate.startswith("io.delta:delta-spark_")
        fetched = shutil.copytree(folder, ivy / "jars")
        for jar in fetched.iterdir() if damaged else ():
            jar.write_bytes(b"<html>sign in first</html>")
        return fetched

    return resolve


def tampered_jar(cache: Path) -> Path:
    """Change one byte of Delta's jar in a cache folder."""
    [jar] = (cache / "jars").glob("io.delta_delta-spark_*")
    content = bytearray(jar.read_bytes())
    content[1000] ^= 1
    jar.write_bytes(content)
    return jar


def test_intact_jars_need_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "resolve", serving(cache / "nothing"))
    assert jars.ensure_jars().endswith("0 fetched")


def test_a_tampered_jar_is_fetched_again(cache: Path, kept_jars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tampered = tampered_jar(cache)
    monkeypatch.setattr(jars, "resolve", serving(kept_jars))
    assert jars.ensure_jars().endswith("1 fetched")
    assert sha256_of(tampered) == sha256_of(kept_jars / tampered.name)


def test_a_repository_that_serves_other_bytes_is_refused(
    cache: Path, kept_jars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tampered = tampered_jar(cache)
    monkeypatch.setattr(jars, "resolve", serving(kept_jars, damaged=True))
    with pytest.raises(SetupProblem, match=r"io\.delta:delta-spark_.*\n +came: +[0-9a-f]{64}\n +allowed: +27d4fd8b"):
        jars.ensure_jars()
    assert not tampered.exists()


def test_a_jar_is_named_by_its_coordinate() -> None:
    coordinates = ["com.github.luben:zstd-jni:1.5.7-3", "io.delta:delta-spark_4.2_2.13:4.4.0"]
    assert [coordinate_of(Jar(coordinate, "").file_name) for coordinate in coordinates] == coordinates


def test_a_tampered_source_of_horovod_is_not_accepted(tmp_path: Path) -> None:
    sdist = tmp_path / "horovod-0.28.1.tar.gz"
    assert not horovod.is_locked_sdist(sdist)
    sdist.write_bytes(b"something else")
    assert not horovod.is_locked_sdist(sdist)


def test_a_wheel_altered_in_the_cache_is_not_used(tmp_path: Path) -> None:
    wheel = tmp_path / "horovod-0.28.1-cp311-cp311-linux_x86_64.whl"
    wheel.write_bytes(b"built here")
    assert horovod.cached_wheel(tmp_path) is None, "a wheel without the record of its hash"
    wheel.with_suffix(".sha256").write_text(sha256_of(wheel))
    assert horovod.cached_wheel(tmp_path) == wheel
    wheel.write_bytes(b"built elsewhere")
    assert horovod.cached_wheel(tmp_path) is None


def lay_out_sources(folder: Path) -> None:
    """Write the files that the patch expects, as far as its context shows them."""
    for part in re.split(r"^--- a/", horovod.PATCH.read_text(), flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        before = [line[1:] for line in body.splitlines() if line[:1] in (" ", "-")]
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join(before) + "\n")


def test_the_patch_is_applied_inside_another_repository(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    source = tmp_path / "scratch" / "horovod"
    lay_out_sources(source)
    horovod.apply_patch(source)
    assert "set(CMAKE_CXX_STANDARD 20)" in (source / "CMakeLists.txt").read_text()
    patched = (source / "horovod" / "torch" / "CMakeLists.txt").read_text()
    assert "set(CMAKE_CXX_STANDARD 20)" in patched
    assert "add_cuda()" not in patched


def test_a_patch_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    lay_out_sources(tmp_path)
    (tmp_path / "CMakeLists.txt").write_text("project(other)\n")
    with pytest.raises(SetupProblem, match=r"Applying cxx20\.patch failed"):
        horovod.apply_patch(tmp_path)
