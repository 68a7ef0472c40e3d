"""Members of archives: only regular files that are wanted, and within a size."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from kinfolk.errors import FetchError
from kinfolk.samples.archives import read_tar_members, read_zip_member


def write_tar(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return path


def test_only_wanted_regular_files_are_read(tmp_path: Path) -> None:
    archive = write_tar(
        tmp_path / "a.tgz", {"package/a.png": b"a", "package/b.txt": b"b"}, {"package/c.png": "/etc/passwd"}
    )
    found = list(read_tar_members(archive, wanted=lambda name: name.endswith(".png"), max_bytes=10))
    assert [(member.name, member.content) for member in found] == [("package/a.png", b"a")]


def test_a_member_larger_than_expected_is_refused(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tgz", {"package/a.png": b"0" * 1000})
    with pytest.raises(FetchError, match=r"a\.png in a\.tgz has 1000 bytes; at most 999"):
        list(read_tar_members(archive, wanted=lambda name: True, max_bytes=999))


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tgz", {"package/a.png": bytes(range(256)) * 400})
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(FetchError, match="cannot be read"):
        list(read_tar_members(archive, wanted=lambda name: True, max_bytes=1 << 20))


def test_zip_members_are_read_by_name_and_within_a_size(tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/table.csv", "a,b\n1,2\n")
    assert read_zip_member(path, "data/table.csv", max_bytes=100).content == b"a,b\n1,2\n"
    with pytest.raises(FetchError, match="at most 7"):
        read_zip_member(path, "data/table.csv", max_bytes=7)
    with pytest.raises(FetchError, match="other"):
        read_zip_member(path, "other", max_bytes=100)
