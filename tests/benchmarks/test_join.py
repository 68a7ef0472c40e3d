"""The benchmark of the similarity join: that its data is what it says, and that a wrong join does not pass."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import _join_costs, _join_nights, _join_sides, join
from ._join_checks import (
    Found,
    check_cosines,
    check_jaccards,
    find_nearest,
    grams_of,
    jaccard,
    read_texts,
    read_vectors,
    recall_of_neighbors,
    recall_of_planted,
    recall_of_rows,
    recall_readings,
    require_pairs,
)
from ._join_data import (
    ALPHABETS,
    VOCABULARY,
    Documents,
    plant_documents,
    plant_vectors,
    texts_of,
    vocabulary,
    write_documents,
    write_vectors,
)
from ._join_nights import change_words
from .harness import WrongResult

GOALS = {
    "join.vs_mllib_brp": (50, "higher"),
    "join.vs_mllib_minhash": (20, "higher"),
    "join.exact_vs_blas": (0.6, "higher"),
    "join.vs_faiss_ivf": (4, "higher"),
    "join.time_vs_faiss_flat": (0.12, "lower"),
    "join.kernel_vs_faiss_ivf.0.95": (10, "higher"),
    "join.kernel_vs_faiss_ivf.0.98": (10, "higher"),
    "join.kernel_exact_vs_faiss_flat": (2, "higher"),
    "join.threshold_time_share": (0.1, "lower"),
    "join.vs_datasketch": (20, "higher"),
    "join.kernel_vs_datasketch": (60, "higher"),
    "join.kernel_vs_datasketch.unicode": (40, "higher"),
    "join.fixed_seconds": (8, "lower"),
    "join.growth_on_doubling.knn": (2.6, "lower"),
    "join.growth_on_doubling.vectors": (2.5, "lower"),
    "join.growth_on_doubling.sets": (2.3, "lower"),
    "join.incremental_share": (0.1, "lower"),
    "join.recall_interval_coverage": (0.93, "higher"),
    "join.recall_interval_width": (0.04, "lower"),
    "join.skew_cost": (2, "lower"),
    "join.copies_cost": (1.5, "lower"),
}
PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda pair: pair[0] < pair[1]), unique=True)


def as_found(pairs: list[tuple[int, int]]) -> Found:
    left_P, right_P = np.array(pairs, np.int64).reshape(-1, 2).T
    return Found(left_P, right_P, np.ones(len(pairs)))


def test_every_figure_has_its_goal() -> None:
    goals = {goal.key: goal for case in join.CASES for goal in case.goals}
    assert {key: (goal.value, goal.better) for key, goal in goals.items() if goal.value is not None} == GOALS
    assert goals["join.fixed_seconds"].unit == "s"


def test_every_comparison_with_a_peer_shows_the_recall_of_both() -> None:
    for case in join.CASES:
        keys = {goal.key for goal in case.goals}
        if any("_vs_faiss" in key or key.startswith("join.vs_") for key in keys):
            assert any(key.endswith(".ours") for key in keys)
            assert any(key.endswith(".peer") for key in keys)


def test_planted_vectors_have_their_cosine_and_others_are_far() -> None:
    vectors_ND, planted = plant_vectors(2_000, pairs=500, cosine=0.9, hot_share=0.2)
    assert vectors_ND.dtype == np.float32
    cosine_NN = vectors_ND.astype(np.float64) @ vectors_ND.T.astype(np.float64)
    np.testing.assert_allclose(cosine_NN[planted.left_P, planted.right_P], 0.9, atol=1e-6)
    assert len(np.unique([planted.left_P, planted.right_P])) == 1_000
    assert (planted.left_P < planted.right_P).all()
    cosine_NN[planted.left_P, planted.right_P] = cosine_NN[planted.right_P, planted.left_P] = 0.0
    np.fill_diagonal(cosine_NN, 0.0)
    assert cosine_NN.max() < 0.85
    # A fifth of the rows lies together: each of them is near to many.
    assert 0.15 < np.mean((cosine_NN > 0.25).mean(axis=1) > 0.1) < 0.35


def test_the_same_arguments_draw_the_same() -> None:
    first, again = (plant_documents(300, pairs=40, scripts=3)[0] for _ in range(2))
    assert (first.words_NW == again.words_NW).all()
    assert (plant_vectors(300, pairs=40)[0] == plant_vectors(300, pairs=40)[0]).all()


@pytest.mark.parametrize("scripts", [1, 10])
def test_planted_documents_have_the_similarity_they_say(scripts: int, tmp_path: Path) -> None:
    documents, planted = plant_documents(600, pairs=75, scripts=scripts)
    write_documents(tmp_path, documents, planted)
    texts = read_texts(tmp_path).to_pylist()
    found = [
        jaccard(grams_of(texts[left]), grams_of(texts[right]))
        for left, right in zip(planted.left_P, planted.right_P, strict=True)
    ]
    assert found == pytest.approx(planted.similarity_P.tolist(), abs=1e-12)
    assert min(found) < 0.8 < 0.94 < max(found) < 1
    assert jaccard(grams_of(texts[0]), grams_of(texts[1])) < 0.1
    size = np.mean([len(text.encode()) for text in texts])
    assert (size == pytest.approx(775, rel=0.02)) == (scripts == 1)


def test_hot_documents_are_alike_and_below_the_threshold() -> None:
    documents, _ = plant_documents(200, pairs=0, hot_share=0.2)
    grams = [grams_of(text) for text in texts_of(documents, slice(0, 200)).to_pylist()]
    similarities = [jaccard(grams[a], grams[b]) for a in range(200) for b in range(a)]
    assert sum(0.55 < similarity < 0.8 for similarity in similarities) == 40 * 39 // 2
    assert sum(similarity >= 0.8 for similarity in similarities) == 0


def test_words_differ_in_whatever_case_and_stay_whole() -> None:
    words = vocabulary(len(ALPHABETS)).to_pylist()
    assert len({word.lower() for word in words}) == len(words) == VOCABULARY * len(ALPHABETS)
    assert all(word.isalpha() for word in words)
    assert sum(word[0].isupper() for word in words[:VOCABULARY]) == VOCABULARY // 10


def test_ids_sort_as_positions_do(tmp_path: Path) -> None:
    vectors_ND, planted = plant_vectors(60, size=4, pairs=3)
    write_vectors(tmp_path, vectors_ND, planted)
    items = pq.read_table(tmp_path / "items")
    assert items["item_id"].to_pylist() == sorted(items["item_id"].to_pylist())
    assert (read_vectors(tmp_path) == vectors_ND).all()
    assert items.schema.field("embedding").type == pa.list_(pa.float32())


def test_recall_of_planted_counts_what_is_at_least_the_threshold(tmp_path: Path) -> None:
    documents, planted = plant_documents(400, pairs=50)
    write_documents(tmp_path, documents, planted)
    due = np.flatnonzero(planted.similarity_P >= 0.8)
    assert 0 < len(due) < 50
    some = due[: len(due) // 2]
    found = Found(planted.left_P[some], planted.right_P[some], planted.similarity_P[some])
    assert recall_of_planted(tmp_path, found, 0.8) == pytest.approx(len(some) / len(due))


@given(PAIRS.filter(len), PAIRS)
def test_recall_of_rows_is_the_mean_over_rows(true: list[tuple[int, int]], found: list[tuple[int, int]]) -> None:
    partners: dict[int, set[int]] = defaultdict(set)
    hits: dict[int, set[int]] = defaultdict(set)
    for left, right in true:
        for row, partner in ((left, right), (right, left)):
            partners[row].add(partner)
            if (left, right) in found:
                hits[row].add(partner)
    expected = np.mean([len(hits[row]) / len(partners[row]) for row in partners])
    assert recall_of_rows(as_found(true), as_found(found), 7) == pytest.approx(expected)


def test_nearest_are_those_of_a_full_comparison() -> None:
    vectors_ND = np.random.default_rng(0).standard_normal((300, 8), dtype=np.float32)
    unit_ND = vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    cosine_NN = unit_ND @ unit_ND.T
    np.fill_diagonal(cosine_NN, -2)
    code_NK = np.argsort(-cosine_NN, axis=1)[:, :5]
    rows = np.arange(0, 300, 3)
    truth = find_nearest(vectors_ND, rows, 5)
    assert (truth.code_SK == code_NK[rows]).all()
    assert recall_of_neighbors(vectors_ND, truth, code_NK) == 1.0
    worse_NK = code_NK.copy()
    worse_NK[:, -1] = np.argsort(cosine_NN, axis=1)[:, 1]
    assert recall_of_neighbors(vectors_ND, truth, worse_NK) == pytest.approx(0.8)
    for wrong in (np.arange(300), code_NK[:, 0]):
        worse_NK[:, -1] = wrong
        with pytest.raises(WrongResult, match="its own neighbour, or has one twice"):
            recall_of_neighbors(vectors_ND, truth, worse_NK)


def test_a_plain_product_finds_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_join_sides, "BLAS_BLOCK_ROWS", 64)
    vectors_ND, planted = plant_vectors(250, pairs=60)
    found = require_pairs(_join_sides.multiply_blocks(vectors_ND, 0.85))
    assert set(found.keys()) == set(Found(planted.left_P, planted.right_P, planted.similarity_P).keys())


def test_wrong_similarities_and_wrong_pairs_do_not_pass() -> None:
    vectors_ND, planted = plant_vectors(100, pairs=20)
    check_cosines(vectors_ND, Found(planted.left_P, planted.right_P, planted.similarity_P), 0.85)
    with pytest.raises(WrongResult, match=r"off by up to 0\.01"):
        check_cosines(vectors_ND, Found(planted.left_P, planted.right_P, planted.similarity_P + 0.01), 0.85)
    with pytest.raises(WrongResult, match=r"the least is 0\.9.*asked for 0\.95"):
        check_cosines(vectors_ND, Found(planted.left_P, planted.right_P, planted.similarity_P), 0.95)
    texts = pa.array(["a b c d", "a b c e"])
    check_jaccards(texts, Found(np.array([0]), np.array([1]), np.array([1 / 3])), 0.3)
    with pytest.raises(WrongResult, match="off by up to"):
        check_jaccards(texts, Found(np.array([0]), np.array([1]), np.array([0.5])), 0.3)
    for pairs in ([(1, 0)], [(0, 1), (0, 1)], [(2, 2)]):
        with pytest.raises(WrongResult, match="left >= right, and"):
            require_pairs(as_found(pairs))


def test_a_recall_below_what_was_asked_for_is_a_wrong_result() -> None:
    assert set(recall_readings("x", 0.95, 0.96, 0.95)) == {"join.recall.x.ours", "join.recall.x.peer"}
    assert set(recall_readings("x", 0.95, None, 0.95)) == {"join.recall.x.ours"}
    with pytest.raises(WrongResult, match=r"ours found 0\.9400 of"):
        recall_readings("x", 0.94, 0.96, 0.95)
    with pytest.raises(WrongResult, match=r"peer found 0\.9400 of"):
        recall_readings("x", 0.95, 0.94, 0.95)


def test_a_night_changes_what_it_says_and_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_join_nights, "CHANGED_SHARE", 0.3)
    words_ND, _ = plant_vectors(100, pairs=50)
    before, after = (dict(zip(*reversed(change_words(words_ND, is_after=late)), strict=True)) for late in (False, True))
    assert [len(before.keys() - after.keys()), len(after.keys() - before.keys())] == [10, 10]
    assert sum(bool((before[n] != after[n]).any()) for n in before.keys() & after.keys()) == 10


def test_intervals_that_are_too_narrow_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_join_costs, "DRAWS", 200)
    monkeypatch.setattr(_join_costs, "INTERVAL_PROBES", 100)
    truths_N = np.full(5_000, 10)
    hits_N = np.random.default_rng(0).binomial(10, 0.95, 5_000)
    share, width = _join_costs.draw_intervals(hits_N, truths_N)
    assert share >= 0.9
    assert 0 < width < 0.1

    def estimate_too_narrowly(*arguments: object, population: int) -> object:
        found = estimate(*arguments, population=population)
        middle = (found.low + found.high) / 2
        return type(found)(found.value, (found.low + 3 * middle) / 4, (found.high + 3 * middle) / 4, 0, 0)

    estimate = _join_costs.estimate_recall
    monkeypatch.setattr(_join_costs, "estimate_recall", estimate_too_narrowly)
    narrow, _ = _join_costs.draw_intervals(hits_N, truths_N)
    assert narrow < 0.6


def test_growth_is_that_of_the_worst_doubling_beyond_the_fixed_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {_join_costs.SMALL_ROWS: 2.0, 10: 3.0, 20: 5.0, 40: 8.0}
    monkeypatch.setattr(_join_costs, "time_tables", lambda bench, spark, folder, *_: [seconds[int(folder.name)]])
    bench: Any = SimpleNamespace(keep=lambda context: None)
    measure = partial(
        _join_costs.growth,
        bench,
        kind="x",
        data=lambda bench, rows: Path(str(rows)),
        settings=_join_costs.VECTOR_PAIRS,
    )
    # Beyond the 2 s that no rows take: 1 s, 3 s, 6 s.
    figures = measure(sizes=(10, 20, 40))
    assert figures["join.growth_on_doubling.x"].value == pytest.approx(3.0)
    assert figures["join.growth_seconds.x.40"].value == pytest.approx(6.0)
    seconds[10] = 1.9
    with pytest.raises(WrongResult, match="too few rows to tell"):
        measure(sizes=(10, 20, 40))


def test_copies_come_after_what_they_are_copies_of() -> None:
    documents, _ = plant_documents(5, pairs=0)
    order = _join_costs.with_copies(5)
    copied = Documents(documents.words_NW[order], documents.script_N[order])
    assert len(copied) == 5 + _join_costs.COPIES
    assert (copied.words_NW[5:] == documents.words_NW[0]).all()
