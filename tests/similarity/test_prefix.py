from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import JoinSettings, TokenSettings
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.oracle import join_sets_by_brute_force
from kinfolk.similarity.sets.items import ItemSets, read_sets
from kinfolk.similarity.sets.join import join_sets, probe_sets

LEAST = {"jaccard": [0.2, 1 / 3, 0.5, 0.8, 1.0], "containment": [0.3, 0.5, 1.0], "overlap": [1, 2, 3.5]}
# Few elements, some of them far more common than others, so that sets have much in common and similarities are tied.
elements = st.one_of(st.integers(0, 3), st.integers(0, 12))
collections = st.lists(st.frozensets(elements, min_size=1, max_size=9), min_size=0, max_size=14)


@st.composite
def join_settings(draw: st.DrawFn) -> JoinSettings:
    measure = draw(st.sampled_from(list(LEAST)))
    return JoinSettings(
        measure=measure,  # type: ignore[arg-type]
        threshold=draw(st.one_of(st.none(), st.sampled_from(LEAST[measure]))),
        neighbors=draw(st.sampled_from([0, 1, 2, 5, 20])),
    )


def make_sets(sets: list[Any], tokens: TokenSettings | None = None) -> ItemSets:
    values = [sorted(value) if isinstance(value, frozenset) else value for value in sets]
    type_ = None if values else pa.list_(pa.int64())
    table = pa.table(
        {"item_id": pa.array([f"{n:06d}" for n in range(len(sets))], pa.string()), "value": pa.array(values, type_)}
    )
    return read_sets(table, tokens or TokenSettings())[0]


def as_dict(pairs: Pairs) -> dict[tuple[int, int], float]:
    found = list(zip(pairs.left_P.tolist(), pairs.right_P.tolist(), pairs.similarity_P.tolist(), strict=True))
    assert len({pair[:2] for pair in found}) == len(found)
    return {pair[:2]: pair[2] for pair in found}


def as_lists(neighbors: Neighbors) -> dict[int, list[tuple[int, float]]]:
    found = {}
    for row, codes, similarities in zip(neighbors.row_N, neighbors.code_NK, neighbors.similarity_NK, strict=True):
        assert (similarities[codes < 0] == -np.inf).all()
        found[int(row)] = [(int(c), float(s)) for c, s in zip(codes, similarities, strict=True) if c >= 0]
    return found


@settings(max_examples=300, deadline=None)
@given(collections, st.none() | collections, join_settings(), st.integers(1, 3), st.integers(1, 3))
def test_the_exact_join_finds_what_brute_force_finds(
    left: list[Any], right: list[Any] | None, wanted: JoinSettings, threads: int, shares: int
) -> None:
    pairs, neighbors = join_sets_by_brute_force(left, right, settings=wanted)
    sides = make_sets(left), None if right is None else make_sets(right)
    parts = [join_sets(*sides, wanted, threads=threads, share=(share, shares)) for share in range(shares)]
    assert as_dict(Pairs.joined([part[0] for part in parts])) == pairs
    if wanted.neighbors:
        found = [as_lists(part[1]) for part in parts]
        assert sum(map(len, found)) == len(left)
        assert {row: codes for part in found for row, codes in part.items()} == dict(enumerate(neighbors))


@settings(max_examples=100, deadline=None)
@given(collections.filter(len), st.none() | collections, join_settings(), st.randoms())
def test_a_probe_finds_what_brute_force_finds_of_its_rows(
    left: list[Any], right: list[Any] | None, wanted: JoinSettings, random: Any
) -> None:
    rows = np.array(sorted(random.sample(range(len(left)), min(3, len(left)))))
    pairs, neighbors = join_sets_by_brute_force(left, right, settings=wanted)
    if right is None:
        pairs |= {(one, other): similarity for (other, one), similarity in pairs.items()}
    found = probe_sets(make_sets(left), None if right is None else make_sets(right), rows, wanted, threads=2)
    assert as_dict(found[0]) == {pair: similarity for pair, similarity in pairs.items() if pair[0] in rows}
    if wanted.neighbors:
        assert as_lists(found[1]) == {row: neighbors[row] for row in rows.tolist()}


@pytest.mark.parametrize("measure", ["jaccard", "containment", "overlap"])
def test_texts_with_common_and_rare_words_are_joined_exactly(measure: Any) -> None:
    random = np.random.default_rng(5)
    words = (random.zipf(1.3, (150, 40)) % 3000).astype(str)
    words[75:] = words[random.integers(0, 75, 75)]
    words[75:, :6] = random.integers(0, 100, (75, 6)).astype(str)
    left = [frozenset(line[: random.integers(3, 40)].tolist()) for line in words]
    wanted = JoinSettings(measure=measure, threshold=8 if measure == "overlap" else 0.6, neighbors=4)
    expected = join_sets_by_brute_force(left, None, settings=wanted)
    texts = make_sets([" ".join(sorted(value)) for value in left], TokenSettings(length=1))
    pairs, neighbors = join_sets(texts, None, wanted, threads=2)
    assert as_dict(pairs) == expected[0]
    assert as_lists(neighbors) == dict(enumerate(expected[1]))
    assert len(pairs) > 5


def test_neighbours_are_found_though_the_common_lists_are_left_out() -> None:
    # Row 0 has two near twins by its rare elements; what all others share with it is common.
    rare, common = frozenset(range(100, 120)), frozenset(range(5))
    sets = [rare | common, rare | {200}, rare | {201}, *(common | {300 + n} for n in range(2000))]
    wanted = JoinSettings(measure="jaccard", threshold=None, neighbors=2)
    _, neighbors = join_sets(make_sets(sets), None, wanted, threads=1)
    assert as_lists(neighbors)[0] == [(1, 20 / 26), (2, 20 / 26)]
    assert as_lists(neighbors)[2002] == [(3, 5 / 7), (4, 5 / 7)]


def test_a_budget_of_pairs_ends_the_search_early() -> None:
    sets = make_sets([frozenset({1, 2, 3, n + 10}) for n in range(300)])
    wanted = JoinSettings(measure="jaccard", threshold=0.5, neighbors=0, max_pairs=100)
    pairs, _ = join_sets(sets, None, wanted, threads=2)
    assert len(pairs) == 101


def test_settings_that_sets_cannot_follow_are_refused() -> None:
    sets = make_sets([frozenset({1})])
    for wanted, message in [
        (JoinSettings(), "the measure is cosine; sets are compared by jaccard, containment, overlap"),
        (JoinSettings(measure="jaccard", threshold=0), "the threshold is 0.0; under jaccard it has to be above 0"),
        (JoinSettings(measure="overlap", threshold=0.5), "under overlap it has to be at least 1"),
        (JoinSettings(measure="jaccard", plan="cells"), "the plan is cells; sets are joined by auto"),
        (JoinSettings(measure="jaccard", plan="minhash"), "minhash joins by jaccard with a recall below 1"),
    ]:
        with pytest.raises(SettingsError, match=message):
            join_sets(sets, None, wanted, threads=1)
    with pytest.raises(DataError, match="one side has other tokens than the other"):
        join_sets(sets, make_sets(["text"]), JoinSettings(measure="jaccard"), threads=1)
