"""What registries bring is believed only after its checksum."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from kinfolk.errors import FetchError
from kinfolk.samples.packages import Package, client_command, download, run_client

GOOD = b"the expected archive"
PACKAGE = Package("npm", "drawings", "1.0.0", "drawings-1.0.0.tgz", hashlib.sha256(GOOD).hexdigest())


class Registry:
    """Stands at the other end of the client's command: brings these contents, one a call."""

    def __init__(self, *contents: bytes | None, name: str = PACKAGE.archive) -> None:
        self.contents = list(contents)
        self.name = name

    def __call__(self, command: list[str], folder: Path) -> None:
        content = self.contents.pop(0)
        if content is not None:
            (folder / self.name).write_bytes(content)


def test_a_good_archive_is_brought_once(tmp_path: Path) -> None:
    registry = Registry(GOOD, b"never asked for")
    assert download(PACKAGE, tmp_path, run=registry).read_bytes() == GOOD
    assert registry.contents == [b"never asked for"]


def test_a_tampered_archive_is_fetched_again(tmp_path: Path) -> None:
    registry = Registry(b"tampered", GOOD)
    assert download(PACKAGE, tmp_path, run=registry).read_bytes() == GOOD
    assert registry.contents == []


def test_an_archive_tampered_with_twice_is_refused_and_deleted(tmp_path: Path) -> None:
    registry = Registry(b"tampered", GOOD[:-1], GOOD)
    came = hashlib.sha256(GOOD[:-1]).hexdigest()
    with pytest.raises(
        FetchError, match=f"came as {len(GOOD) - 1} bytes with SHA-256 {came}; expected {PACKAGE.sha256}"
    ):
        download(PACKAGE, tmp_path, run=registry)
    assert registry.contents == [GOOD], "a third attempt was made"
    assert list(tmp_path.iterdir()) == []


def test_another_archive_than_the_expected_one_is_named(tmp_path: Path) -> None:
    registry = Registry(GOOD, GOOD, name="other-2.0.0.tgz")
    with pytest.raises(
        FetchError, match=r"npm brought other-2\.0\.0\.tgz for drawings 1\.0\.0; expected drawings-1\.0\.0"
    ):
        download(PACKAGE, tmp_path, run=registry)


def test_a_failing_client_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such package here')"]
    with pytest.raises(FetchError, match="exit code 1: no such package here"):
        run_client(command, tmp_path)


def test_a_missing_client_says_so(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="could not be started"):
        run_client([str(tmp_path / "no-such-client")], tmp_path)


@pytest.mark.parametrize("client", ["npm", "pip"])
def test_commands_ask_for_one_version_and_run_nothing_of_it(client: str, tmp_path: Path) -> None:
    package = Package(client, "drawings", "1.0.0", "archive.whl", "0")  # type: ignore[arg-type]
    command = client_command(package, tmp_path)
    assert f"drawings{'@' if client == 'npm' else '=='}1.0.0" in command
    assert ("--ignore-scripts" if client == "npm" else "--only-binary=:all:") in command


def test_of_a_source_archive_nothing_runs_before_its_checksum_is_compared(tmp_path: Path) -> None:
    package = Package("pip", "drawings", "1.0.0", "drawings-1.0.0.tar.gz", "ab" * 32)
    command = client_command(package, tmp_path)
    assert "--require-hashes" in command
    [requirement] = [option.partition("=")[2] for option in command if option.startswith("--requirement=")]
    assert Path(requirement).read_text() == f"drawings==1.0.0 --hash=sha256:{package.sha256}\n"
