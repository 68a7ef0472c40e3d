from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kinfolk.settings import JoinSettings, TokenSettings
from kinfolk.similarity.found import Pairs
from kinfolk.similarity.sets import minhash
from kinfolk.similarity.sets.items import ItemSets, read_sets
from kinfolk.similarity.sets.join import SetJoin, join_sets
from kinfolk.similarity.sets.minhash import choose_bands

WORDS = TokenSettings(length=1)


def make_texts(rows: list[Any]) -> ItemSets:
    """Texts of words that are numbers."""
    ids = [f"{n:06d}" for n in range(len(rows))]
    values = [" ".join(map(str, row)) for row in rows]
    return read_sets(pa.table({"item_id": ids, "value": values}), WORDS)[0]


def make_twins(count: int, size: int, common: int, seed: int = 0) -> list[Any]:
    """Sets of which each even one has `common` words in common with the next, and little with any other."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, 1 << 40, (2 * count, size))
    rows[1::2, :common] = rows[::2, :common]
    return list(rows)


def near_duplicates(**changes: Any) -> JoinSettings:
    return JoinSettings(
        **{"measure": "jaccard", "threshold": 0.8, "neighbors": 0, "recall": 0.9, "plan": "minhash", **changes}
    )


def as_set(pairs: Pairs) -> set[tuple[int, int, float]]:
    found = set(zip(pairs.left_P.tolist(), pairs.right_P.tolist(), pairs.similarity_P.tolist(), strict=True))
    assert len({pair[:2] for pair in found}) == len(pairs)
    return found


@pytest.mark.parametrize("recall", [0.5, 0.9, 0.99])
def test_pairs_at_the_threshold_itself_are_found_with_the_recall_promised(recall: float) -> None:
    # 40 of 50 words in common on either side: the similarity is 40 / 50 of all different words, which are 60.
    sets = make_texts(make_twins(4000, 50, 40))
    wanted = near_duplicates(threshold=40 / 60, recall=recall)
    found = as_set(join_sets(sets, None, wanted, threads=2)[0])
    assert {pair[2] for pair in found} == {40 / 60}
    assert {pair[:2] for pair in found} <= {(n, n + 1) for n in range(0, 8000, 2)}
    error = np.sqrt(recall * (1 - recall) / 4000)
    bands = choose_bands(sets, None, 40 / 60, recall, seed=0)
    assert bands.recall_at(40 / 60) >= recall
    assert abs(len(found) / 4000 - bands.recall_at(40 / 60)) < 4 * error + 0.001


def test_what_is_found_depends_on_the_seed_alone() -> None:
    sets, wanted = make_texts(make_twins(500, 20, 17)), near_duplicates(threshold=0.6)
    found = as_set(join_sets(sets, None, wanted, threads=1)[0])
    assert as_set(join_sets(sets, None, wanted, threads=3)[0]) == found
    parts = [join_sets(sets, None, wanted, threads=2, share=(share, 3))[0] for share in range(3)]
    assert min(map(len, parts)) > 50
    assert as_set(Pairs.joined(parts)) == found
    assert as_set(join_sets(sets, None, near_duplicates(threshold=0.6, seed=1), threads=1)[0]) != found


def test_two_tables_are_joined_as_their_union_would_be() -> None:
    rows = make_twins(500, 20, 17)
    wanted = near_duplicates(threshold=0.6)
    left, right = make_texts(rows[::2]), make_texts(rows[1::2])
    pairs, _ = join_sets(left, right, wanted, threads=2)
    assert (pairs.left_P == pairs.right_P).all()
    assert len(as_set(pairs)) > 450
    parts = [join_sets(left, right, wanted, threads=1, share=(share, 2))[0] for share in range(2)]
    assert as_set(Pairs.joined(parts)) == as_set(pairs)


@pytest.mark.parametrize("is_self_join", [True, False])
def test_large_buckets_lose_no_pair(monkeypatch: pytest.MonkeyPatch, is_self_join: bool) -> None:
    # A form: all have 60 of 100 words in common and are no pairs, but for the twins among them.
    rows = np.array(make_twins(300, 100, 95))
    rows[:, :60] = np.arange(60)
    left = make_texts(list(rows) if is_self_join else list(rows[::2]))
    right = None if is_self_join else make_texts(list(rows[1::2]))
    wanted = near_duplicates(recall=0.999)
    expected = as_set(join_sets(left, right, wanted.model_copy(update={"plan": "prefix"}), threads=1)[0])
    assert len(expected) == 300
    monkeypatch.setattr(minhash, "_LARGE_BUCKET", 50)
    found = [join_sets(left, right, wanted, threads=2, share=(share, 2))[0] for share in range(2)]
    assert as_set(Pairs.joined(found)) == expected


def test_a_budget_of_pairs_ends_the_search_early() -> None:
    rows = [[*range(20), n + 100] for n in range(500)]
    pairs, _ = join_sets(make_texts(rows), None, near_duplicates(max_pairs=1000), threads=1)
    assert len(pairs) == 1001


def test_the_plan_is_exact_where_all_has_to_be_found() -> None:
    sets = make_texts(make_twins(2000, 60, 50))
    assert SetJoin(sets, None, near_duplicates(plan="auto", recall=1.0)).plan == "prefix"
    assert SetJoin(sets, None, near_duplicates(plan="auto", measure="containment")).plan == "prefix"
    assert SetJoin(sets, None, near_duplicates(plan="auto", recall=0.95)).plan == "minhash"


def test_a_forecast_knows_how_many_pairs_there_are_to_look_at() -> None:
    # Words of a small vocabulary: every pair has some in common, and few pairs have many.
    random = np.random.default_rng(3)
    sets = make_texts([random.choice(200, 30, replace=False) for _ in range(4000)])
    forecasts = SetJoin(sets, None, near_duplicates(plan="auto", threshold=0.3, recall=0.9)).forecasts
    banding, prefix = sorted(forecasts, key=lambda told: told.plan)
    whole = minhash.choose_bands(sets, None, 0.3, 0.9, seed=0)
    assert (prefix.plan, banding.plan) == ("prefix", "minhash")
    assert banding.comparisons == whole.candidates
    # About s^r of all pairs, s = 30 / 370 or so, in each of the bands.
    assert 0.5 < whole.candidates / (4000 * 3999 / 2 * whole.bands * (4.5 / 55.5) ** whole.rows) < 2
    found = len(join_sets(sets, None, near_duplicates(threshold=0.3, plan="prefix"), threads=2)[0])
    assert prefix.pairs is not None
    assert prefix.pairs.value == pytest.approx(found, rel=0.3)
    assert prefix.comparisons > found
