"""Explanations against the join's kernels and the oracle: the same similarity, the same tokens, sums that add up."""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import sys
import unicodedata
from typing import cast

import numpy as np
import pyarrow as pa
import pytest
from hard_texts import characters, token_settings
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kinfolk.errors import DataError
from kinfolk.settings import JoinSettings, SetMeasure, TokenSettings, VectorMeasure
from kinfolk.similarity.explain import SetExplanation, VectorExplanation, explain_pair
from kinfolk.similarity.oracle import set_similarity, split_tokens, vector_similarity
from kinfolk.similarity.sets.items import read_sets
from kinfolk.similarity.sets.join import join_sets
from kinfolk.similarity.sets.shingles import count_common, make_workspace, read_set
from kinfolk.similarity.vectors.spaces import make_space

texts = st.one_of(
    st.text(characters, max_size=30),
    st.lists(st.sampled_from(["red", "Red", "cup", "İ", "ﬁ", "été", "漢字"]), max_size=8).map(" ".join),
)
SET_MEASURES: list[SetMeasure] = ["jaccard", "containment", "overlap"]
VECTOR_MEASURES: list[VectorMeasure] = ["cosine", "inner_product", "euclidean"]
floats = st.floats(width=32, min_value=-1e6, max_value=1e6, allow_subnormal=False)
vector_pairs = st.integers(1, 40).flatmap(lambda size: st.tuples(*[st.lists(floats, min_size=size, max_size=size)] * 2))


def explain_sets(left: object, right: object, measure: str, tokens: TokenSettings) -> SetExplanation:
    why = explain_pair(left, right, JoinSettings(measure=measure, tokens=tokens))  # type: ignore[arg-type]
    assert isinstance(why, SetExplanation)
    return why


def explain_vectors(left: list[float], right: list[float], measure: str) -> VectorExplanation:
    why = explain_pair(left, right, JoinSettings(measure=measure))  # type: ignore[arg-type]
    assert isinstance(why, VectorExplanation)
    return why


def count_by_kernels(left: object, right: object, tokens: TokenSettings) -> tuple[int, int, int]:
    """How many tokens each of two values has, and both have, as the join counts them."""
    table = pa.table({"item_id": ["l", "r"], "value": pa.array([left, right])})
    source = read_sets(table, tokens)[0].source
    work = make_workspace(source)
    right_size, _ = read_set(source, 1, work)
    left_size, slots = read_set(source, 0, work)
    return int(left_size), int(right_size), int(count_common(source, 1, slots, work))


@settings(max_examples=150)
@given(texts, texts, token_settings, st.sampled_from(SET_MEASURES))
@example("red cup", "RED, cup!", TokenSettings(length=2), "jaccard")
@example("İstanbul", "istanbul", TokenSettings(length=1), "overlap")
@example("नमस्ते cafe\u0301", "नमस cafe", TokenSettings(length=1), "jaccard")
def test_tokens_are_those_that_the_join_counts(
    left: str, right: str, tokens: TokenSettings, measure: SetMeasure
) -> None:
    slow = [split_tokens(text, tokens) for text in (left, right)]
    if not all(slow):
        with pytest.raises(DataError, match="has no token"):
            explain_sets(left, right, measure, tokens)
        return
    why = explain_sets(left, right, measure, tokens)
    counts = len(why.shared) + len(why.left_only), len(why.shared) + len(why.right_only), len(why.shared)
    assert counts == count_by_kernels(left, right, tokens)
    between = " " if tokens.unit == "words" else ""
    assert {*why.shared, *why.left_only} == {between.join(token) for token in slow[0]}
    assert set(why.shared) == {between.join(token) for token in slow[0] & slow[1]}
    assert len({*why.shared, *why.left_only, *why.right_only}) == counts[0] + counts[1] - counts[2]
    assert why.similarity == set_similarity(cast("set[object]", slow[0]), cast("set[object]", slow[1]), measure)


@settings(max_examples=100)
@given(texts, texts, token_settings)
def test_marked_passages_are_the_text_and_cover_the_shared_tokens(left: str, right: str, tokens: TokenSettings) -> None:
    if not split_tokens(left, tokens) or not split_tokens(right, tokens):
        return
    why = explain_sets(left, right, "jaccard", tokens)
    for text, passages in ((left, why.left_passages), (right, why.right_passages)):
        assert "".join(passage.text for passage in passages) == text
        assert all(one.is_shared != other.is_shared for one, other in itertools.pairwise(passages))
        marked = [read_units(passage.text, tokens) for passage in passages if passage.is_shared]
        assert all(any(token in units for units in marked) for token in why.shared)
        assert all(any(token in units for token in why.shared) for units in marked)


def read_units(text: str, tokens: TokenSettings) -> str:
    """All units of a text, as tokens are written."""
    is_words = tokens.unit == "words"
    is_unit = [not is_words or unicodedata.category(c)[0] in "LM" or c.isdecimal() for c in text]
    lower = "".join(c.lower()[0] if is_part else " " for c, is_part in zip(text, is_unit, strict=True))
    return " ".join(lower.split()) if is_words else re.sub(r"\s+", " ", lower)


def test_marks_begin_and_end_with_the_shared_words() -> None:
    why = explain_sets("A red, RED cup stands", "Here a red cup is", "jaccard", TokenSettings(length=2))
    assert why.shared == ("a red", "red cup")
    assert [(p.text, p.is_shared) for p in why.left_passages] == [
        ("A red", True), (", ", False), ("RED cup", True), (" stands", False)
    ]  # fmt: skip
    assert [(p.text, p.is_shared) for p in why.right_passages] == [
        ("Here ", False), ("a red cup", True), (" is", False)
    ]  # fmt: skip
    assert why.summary == "2 are in both, of 4 tokens on the left and 4 on the right"


@pytest.mark.parametrize(
    ("left", "right", "shared"),
    [(["b", "a", "b", None], ["a", "c"], ("a",)), ([3, 1, 2**62], [2**62, 3, 4], ("3", str(2**62)))],
)
def test_lists_are_compared_by_their_elements(left: list[object], right: list[object], shared: tuple[str, ...]) -> None:
    why = explain_sets(left, right, "jaccard", TokenSettings())
    assert why.shared == shared
    assert (len(why.left_only), len(why.right_only)) == (1, len(right) - len(shared))
    sizes = count_by_kernels(left, right, TokenSettings())
    assert sizes == (len(shared) + 1, len(right), len(shared))
    assert (why.left_passages, why.right_passages) == ((), ())


@pytest.mark.parametrize("measure", SET_MEASURES)
def test_a_set_similarity_is_the_joins_to_the_bit(measure: SetMeasure) -> None:
    dice = np.random.default_rng(7)
    values = [" ".join(map(str, dice.integers(0, 12, dice.integers(3, 11)))) for _ in range(20)]
    wanted = JoinSettings(
        measure=measure, threshold=1 if measure == "overlap" else 0.01, tokens=TokenSettings(length=1), neighbors=0
    )
    table = pa.table({"item_id": [f"{n:02}" for n in range(20)], "value": values})
    pairs, _ = join_sets(read_sets(table, wanted.tokens)[0], None, wanted, threads=1)
    assert len(pairs) > 50
    for left, right, similarity in zip(pairs.left_P, pairs.right_P, pairs.similarity_P, strict=True):
        assert explain_pair(values[left], values[right], wanted).similarity == similarity


@settings(max_examples=100)
@given(vector_pairs, st.sampled_from(VECTOR_MEASURES))
@example(([1.0, 2.0, 2.0], [2.0, 1.0, -2.0]), "cosine")
@example(([0.1] * 7, [0.1] * 7), "euclidean")
@example(([0.1, 0.2], [0.7, 0.3]), "inner_product")
def test_a_vector_similarity_is_the_joins_to_the_bit_and_its_parts_add_up(
    pair: tuple[list[float], list[float]], measure: VectorMeasure
) -> None:
    left_ND, right_ND = (np.array([side], np.float32) for side in pair)
    if measure == "cosine" and not (left_ND.any() and right_ND.any()):
        with pytest.raises(DataError, match="no direction"):
            explain_vectors(*pair, measure)
        return
    why = explain_vectors(*pair, measure)
    zero = np.zeros(1, np.int64)
    assert why.similarity == make_space(measure, left_ND, right_ND).similarity(zero, zero)[0]
    scale = sum(abs(dimension.contribution) for dimension in why.dimensions)
    slow = vector_similarity(left_ND[0].tolist(), right_ND[0].tolist(), measure)
    assert why.similarity == pytest.approx(slow, rel=1e-9, abs=1e-12 * scale)
    whole = float(why.similarity != 0) if measure == "euclidean" else why.similarity
    assert sum(d.contribution for d in why.dimensions) == pytest.approx(whole, rel=1e-9, abs=1e-12 * scale)
    assert sorted(dimension.place for dimension in why.dimensions) == list(range(len(pair[0])))
    strengths = [abs(dimension.contribution) for dimension in why.dimensions]
    assert strengths == sorted(strengths, reverse=True)
    assert [(d.left, d.right) for d in why.dimensions] == [
        (left_ND[0, d.place], right_ND[0, d.place]) for d in why.dimensions
    ]


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("cosine", {0: 8 / 25, 1: 8 / 25, 2: 2 / 25, 3: -2 / 25}),
        ("inner_product", {0: 8.0, 1: 8.0, 2: 2.0, 3: -2.0}),
        ("euclidean", {3: 9 / 18, 0: 4 / 18, 1: 4 / 18, 2: 1 / 18}),
    ],
)
def test_contributions_by_hand(measure: VectorMeasure, expected: dict[int, float]) -> None:
    why = explain_vectors([2.0, 4.0, 1.0, 2.0], [4.0, 2.0, 2.0, -1.0], measure)
    assert {d.place: d.contribution for d in why.dimensions} == pytest.approx(expected)
    assert [d.place for d in why.dimensions] == list(expected)
    assert why.similarity == {"cosine": 16 / 25, "inner_product": 16.0, "euclidean": -math.sqrt(18)}[measure]


@pytest.mark.parametrize(
    ("terms", "half", "most"),
    [
        ([1.0] * 10, 5, 9),
        ([5.0, 3.0, 1.0, 1.0], 1, 3),
        ([6.0, 6.0, -2.0], 1, 2),
        ([-5.0, -3.0, -1.0, -1.0, 0.0], 1, 3),
        ([1.0, -1.0], 0, 0),
    ],
)
def test_the_fewest_dimensions_that_carry_half_and_most_of_it(terms: list[float], half: int, most: int) -> None:
    why = explain_vectors(terms, [1.0] * len(terms), "inner_product")
    assert (why.half, why.most) == (half, most)


def test_bars_are_the_strongest_dimensions_and_the_rest_is_summed_up() -> None:
    why = explain_vectors([4.0, -3.0, 2.0, 1.0, -1.5], [1.0] * 5, "inner_product")
    assert why.bars(3) == (("dimension 0", 4.0), ("dimension 1", -3.0), ("dimension 2", 2.0))
    assert why.summarize_rest(3) == "the other 2 dimensions add -0.5 together"
    assert why.summarize_rest(4) == "the other dimension adds 1"
    assert (len(why.bars(5)), why.summarize_rest(5)) == (5, "")


@pytest.mark.parametrize(
    ("left", "right", "measure", "words"),
    [
        ([1.0, 2.0], [1.0], "cosine", "2 and 1 coordinates"),
        ([], [], "euclidean", "0 and 0 coordinates"),
        ([0.0, 0.0], [1.0, 1.0], "cosine", "left vector is zero"),
        ([1.0, 1.0], [1.0, math.nan], "inner_product", "right vector is not finite"),
        ([1.0, 1.0], [1.0, None], "inner_product", "right vector is not finite"),
        ("a text", [1.0], "cosine", "a text came"),
        ("words", "...", "jaccard", "right one of the two has no token"),
        ([None], ["a"], "overlap", "left one of the two has no token"),
    ],
)
def test_what_the_join_turns_away_is_not_explained(left: object, right: object, measure: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        explain_pair(left, right, JoinSettings(measure=measure))  # type: ignore[arg-type]


def test_an_explanation_needs_no_compiler() -> None:
    code = """if True:
        import sys
        from kinfolk.settings import JoinSettings
        from kinfolk.similarity.explain import explain_pair
        explain_pair([1.0], [2.0], JoinSettings()), explain_pair("a", "a b", JoinSettings(measure="jaccard"))
        print(*sys.modules)"""
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "kinfolk.similarity.explain" in loaded
    assert not {"numba", "pyspark", "pandas", "torch"} & set(loaded)
