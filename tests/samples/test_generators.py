"""The planted truth is true."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from kinfolk.samples.generators import PlantedLake, write_planted_lake


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> PlantedLake:
    return write_planted_lake(tmp_path_factory.mktemp("planted"), seed=3, subjects=40, baskets=300)


def test_the_nearest_drawing_of_the_other_hand_shows_the_same_subject(planted: PlantedLake) -> None:
    left, right = (np.stack([_pixels(planted, pair[hand]) for pair in planted.items.twins]) for hand in (0, 1))
    assert (np.argmax(left @ right.T, axis=1) == np.arange(40)).all()


def test_copies_are_copies_and_nothing_else_is(planted: PlantedLake) -> None:
    contents = defaultdict(list)
    for item_id in planted.items.good_ids:
        contents[_picture(planted, item_id).read_bytes()].append(item_id)
    found = {ids[1]: ids[0] for ids in contents.values() if len(ids) > 1}
    assert found == planted.items.copies
    assert len(found) == 4


def test_rules_hold_as_often_as_they_say(planted: PlantedLake) -> None:
    baskets = _baskets(planted)
    for rule in planted.events.rules:
        left = [items for items in baskets.values() if items.issuperset(rule.antecedent)]
        assert len(left) == rule.antecedent_count
        assert sum(items.issuperset(rule.consequent) for items in left) == rule.basket_count
        assert rule.support == rule.basket_count / 300
    assert [round(rule.confidence, 2) for rule in planted.events.rules] == [0.9, 0.75, 0.8]


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(planted: PlantedLake, tmp_path: Path) -> None:
    again = write_planted_lake(tmp_path / "again", seed=3, subjects=40, baskets=300)
    other = write_planted_lake(tmp_path / "other", seed=4, subjects=40, baskets=300)
    assert _contents(again.folder) == _contents(planted.folder)
    assert other.events.table.read_bytes() != planted.events.table.read_bytes()


def _baskets(planted: PlantedLake) -> dict[str, set[str]]:
    """Baskets as the file has them, those of faulty lines left out."""
    baskets: dict[str, set[str]] = defaultdict(set)
    with planted.events.table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["basket"].startswith("B"):
                baskets[row["basket"]].add(row["item"])
    assert len(baskets) == 300
    return baskets


def _picture(planted: PlantedLake, item_id: str) -> Path:
    return planted.folder / "drawings" / f"{item_id}.png"


def _pixels(planted: PlantedLake, item_id: str) -> NDArray[np.float64]:
    with Image.open(_picture(planted, item_id)) as picture:
        pixels = np.asarray(picture, np.float64).ravel()
    return pixels / np.linalg.norm(pixels)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
