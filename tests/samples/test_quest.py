"""Baskets of the Quest generator: their shape, their patterns, and that they can be made again."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from kinfolk.samples import quest
from kinfolk.samples.quest import QuestShape, draw_baskets


def draw(baskets: int, **options: object) -> list[list[int]]:
    return pa.chunked_array(draw_baskets(baskets, **options)).to_pylist()


def test_baskets_have_the_shape_that_was_asked_for() -> None:
    baskets = draw(20_000, seed=3)
    sizes = np.array([len(basket) for basket in baskets])
    assert sizes.mean() == pytest.approx(10, abs=0.7)
    assert sizes.min() >= 1
    assert all(len(set(basket)) == len(basket) for basket in baskets)
    items = {item for basket in baskets for item in basket}
    assert 800 < len(items) <= 1000
    assert min(items) >= 0
    assert max(items) < 1000
    large = np.array([len(basket) for basket in draw(5_000, shape=QuestShape(basket_items=20))])
    assert large.mean() == pytest.approx(20, abs=1)


def test_items_of_a_pattern_come_together() -> None:
    baskets = draw(20_000, seed=3)
    counts = Counter(item for basket in baskets for item in basket)
    pairs = Counter(pair for basket in baskets for pair in combinations(sorted(basket), 2))
    (one, other), together = pairs.most_common(1)[0]
    assert together > 3 * counts[one] * counts[other] / len(baskets)


def test_the_same_seed_gives_the_same_baskets_and_a_smaller_table_begins_a_larger_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert draw(300) == draw(300)
    assert draw(300) != draw(300, seed=1)
    monkeypatch.setattr(quest, "BASKETS_AT_A_TIME", 100)
    parts = draw(250)
    assert draw(170) == parts[:170]
    assert parts[:50] != parts[100:150]
