from __future__ import annotations

import pickle
import unicodedata
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hard_texts import characters, token_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.errors import DataError
from kinfolk.settings import TokenSettings
from kinfolk.similarity.oracle import split_tokens
from kinfolk.similarity.sets.items import ItemSets, collapse_set_copies, profile_sets, read_sets
from kinfolk.similarity.sets.shingles import WORDS, lower_case_table, make_workspace, read_set, read_tokens
from kinfolk.similarity.sets.texts import locate_texts

texts = st.one_of(
    st.text(characters, max_size=40),
    st.text("abcXYZ 09", max_size=60),
    st.lists(st.text("aB", max_size=12)).map(" ".join),
)


def make_sets(values: list[object], tokens: TokenSettings | None = None) -> ItemSets:
    ids = [f"{n:06d}" for n in range(len(values))]
    table = pa.table({"item_id": pa.array(ids, pa.string()), "value": pa.array(values)})
    return read_sets(table, tokens or TokenSettings(length=1))[0]


def tokens_of(sets: ItemSets, code: int) -> list[int]:
    work = make_workspace(sets.source)
    return work.token_T[: read_set(sets.source, code, work)[0]].tolist()


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, min_size=1, max_size=8), token_settings)
def test_tokens_are_alike_where_those_of_a_slow_tokenizer_are(values: list[str], tokens: TokenSettings) -> None:
    expected = [split_tokens(value, tokens) for value in values]
    kept = [tokens_of_value for tokens_of_value in expected if tokens_of_value]
    sets = make_sets(values, tokens)
    assert len(sets) == len(kept)
    found = [tokens_of(sets, code) for code in range(len(sets))]
    assert [len(found_tokens) for found_tokens in found] == [len(tokens_of_value) for tokens_of_value in kept]
    for one in range(len(kept)):
        for other in range(one):
            assert len(set(found[one]) & set(found[other])) == len(kept[one] & kept[other])


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, min_size=2, max_size=5))
def test_what_stands_around_a_text_in_the_buffer_does_not_matter(values: list[str]) -> None:
    kept = [value for value in values if split_tokens(value, TokenSettings(length=1))]
    together = make_sets(values)
    for code, value in enumerate(kept):
        assert tokens_of(together, code) == tokens_of(make_sets([value]), 0)


@pytest.mark.parametrize("seed", range(20))
def test_words_are_hashed_alike_wherever_they_stand(seed: int) -> None:
    """Long texts that change between scripts every few words, or every few hundred, or never."""
    random = np.random.default_rng(seed)
    scripts = [["one", "Two", "3rd", "a" * 70], ["été", "Straße", "naïve"], ["Αθήνα", "και"], ["日本語", "𝒳𝒴", "한국"]]
    known = {word: tokens_of(make_sets([word]), 0) for words in scripts for word in words}
    between = [" ", ", ", " — ", "\n", "…"]
    words: list[str] = []
    while len(words) < 600:
        some = scripts[random.integers(len(scripts))]
        words += [some[place] for place in random.integers(0, len(some), int(random.choice([1, 2, 5, 300])))]
    text = "".join(word + between[random.integers(len(between))] for word in words)
    sets = make_sets([text])
    work = make_workspace(sets.source)
    count = read_tokens(sets.source, 0, work)
    assert work.token_T[:count].tolist() == [token for word in words for token in known[word]]


@pytest.mark.parametrize("size", [*range(6, 10), *range(14, 18), 1000])
def test_long_words_are_hashed_to_their_end(size: int) -> None:
    words = ["a" * size, "a" * (size - 1) + "b", "a" * (size + 1), "é" * size, "a" * (size - 1) + "é", "A" * size]
    sets = make_sets(words)
    found = [tokens_of(sets, code)[0] for code in range(len(words))]
    assert len(set(found)) == 5
    assert found[0] == found[5]


@pytest.mark.parametrize("start", ["", "a", "é", "𐐨"])
@pytest.mark.parametrize(("one", "other"), [("漢", "漣"), ("ж", "з"), ("𐐨", "𐐩")])
def test_every_letter_of_a_long_word_counts(start: str, one: str, other: str) -> None:
    words = [start + one * 9, *(start + one * n + other + one * (8 - n) for n in range(9))]
    sets = make_sets(words)
    assert len({tokens_of(sets, code)[0] for code in range(10)}) == 10


@pytest.mark.parametrize(("lower", "upper"), [("ß", "ẞ"), ("ⱥ", "Ⱥ"), ("k", "\u212a"), ("ж", "Ж"), ("i", "İ")])
def test_a_word_is_the_same_in_both_cases_whatever_their_bytes(lower: str, upper: str) -> None:
    for size in range(1, 30):
        words = [lower * size, upper * size, lower * (size - 1) + upper, upper + lower * (size - 1)]
        sets = make_sets(words)
        assert len({tokens_of(sets, code)[0] for code in range(4)}) == 1


def test_texts_are_read_where_they_lie() -> None:
    values = ["none of it", "one two", "", None, "três quatro cinco", "日本語", "x"]
    chunks = [pa.array(values)[1:3], pa.array([], pa.string()), pa.array(values, pa.string())[3:6], pa.array(["x"])]
    table = pa.table({"item_id": list("abcdef"), "value": pa.chunked_array(chunks)})
    sets, rejected = read_sets(table, TokenSettings(length=1))
    assert rejected["item_id"].to_pylist() == ["b", "c"]
    whole = make_sets(["one two", "três quatro cinco", "日本語", "x"])
    assert [tokens_of(sets, code) for code in range(4)] == [tokens_of(whole, code) for code in range(4)]
    # Kernels would read beyond the end of a short text: it is copied. A long one is not, but for the last.
    long = pa.array(["word " * 100] * 3)
    first = long.buffers()[2].address
    lies_there = locate_texts(pa.chunked_array([long]))
    place_N = lies_there.start_N + lies_there.text_X.__array_interface__["data"][0] - first
    assert place_N[:2].tolist() == [0, 500]
    assert place_N[2] != 1000


def test_items_are_pickled_with_their_own_texts_alone() -> None:
    sets = make_sets([f"text number {n} " * 50 for n in range(200)])
    some = sets.take(np.array([3, 77, 199]))
    without_texts = some.source._replace(text_X=np.empty(0, np.uint8), start_N=np.empty(0), stop_N=np.empty(0))
    pickled = pickle.dumps(some)
    assert len(pickled) < len(pickle.dumps(without_texts)) + 4 * 1000
    again = pickle.loads(pickled)  # noqa: S301
    assert [tokens_of(again, code) for code in range(3)] == [tokens_of(sets, code) for code in (3, 77, 199)]


def test_tokens_keep_repetitions_apart_from_sets() -> None:
    sets = make_sets(["one two one two one two"], TokenSettings(length=2))
    work = make_workspace(sets.source)
    assert read_tokens(sets.source, 0, work) == 5
    assert len(tokens_of(sets, 0)) == 2


def test_planes_without_entries_in_the_table_have_no_letters() -> None:
    assert {unicodedata.category(chr(code))[0] for code in range(0x40000, 0xE0000, 7)} == {"C"}
    assert {unicodedata.category(chr(code))[0] for code in range(0xF0000, 0x110000, 7)} == {"C"}
    lower_C = lower_case_table(WORDS)
    assert not lower_C[0x40000:0xE0000].any()
    assert lower_C[ord("İ")] == ord("i")


def test_lists_are_sets_of_what_they_hold() -> None:
    sets = make_sets([["b", "a", "b", None], ["a"], ["A"], ["", "a"]])
    found = [set(tokens_of(sets, code)) for code in range(4)]
    assert [len(tokens) for tokens in found] == [2, 1, 1, 2]
    assert [len(found[0] & found[code]) for code in (1, 2, 3)] == [1, 0, 1]
    numbers = make_sets([[1, 2**62, -1, 1], [-1, 0]])
    assert [len(tokens_of(numbers, code)) for code in range(2)] == [3, 2]
    assert len(set(tokens_of(numbers, 0)) & set(tokens_of(numbers, 1))) == 1


def test_what_cannot_be_compared_is_rejected_with_its_reason() -> None:
    values = {"good": "some words", "null": None, "empty": "", "marks": " .,!", "also_good": "x"}
    table = pa.table({"item_id": list(values), "value": list(values.values())})
    sets, rejected = read_sets(table, TokenSettings())
    assert sets.ids.to_pylist() == ["also_good", "good"]
    assert rejected.to_pylist() == [
        {"item_id": "empty", "reject_reason": "empty_set", "reject_detail": "no letter or digit"},
        {"item_id": "marks", "reject_reason": "empty_set", "reject_detail": "no letter or digit"},
        {"item_id": "null", "reject_reason": "missing_value", "reject_detail": "no value"},
    ]
    _, rejected = read_sets(pa.table({"item_id": ["a", "b", "c"], "value": [[], [None], ["x"]]}), TokenSettings())
    assert rejected["reject_detail"].to_pylist() == ["no element", "no element"]
    _, rejected = read_sets(pa.table({"item_id": ["a"], "value": ["\u2003\n"]}), TokenSettings(unit="characters"))
    assert rejected["reject_detail"].to_pylist() == ["nothing but white space"]


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string()])
def test_rows_in_many_chunks_and_slices_come_out_in_the_order_of_their_ids(type_: pa.DataType) -> None:
    def part(start: int) -> pa.Table:
        ids = [f"{n:02d}" for n in range(start, start + 5)]
        return pa.table({"item_id": ids, "value": pa.array([f"word{n}" for n in ids], type_)}).slice(1, 3)

    sets, _ = read_sets(pa.concat_tables([part(10), part(0), part(5)]), TokenSettings())
    assert sets.ids.to_pylist() == ["01", "02", "03", "06", "07", "08", "11", "12", "13"]
    assert [tokens_of(sets, n) for n in range(9)] == [
        tokens_of(make_sets([f"word{n}"]), 0) for n in sets.ids.to_pylist()
    ]


def test_no_items_make_no_sets() -> None:
    sets, rejected = read_sets(
        pa.table({"item_id": pa.array([], pa.string()), "value": pa.array([], pa.string())}), TokenSettings()
    )
    assert len(sets) == 0
    assert len(rejected) == 0
    assert len(collapse_set_copies(sets)[0]) == 0


def test_ids_that_are_missing_or_come_twice_are_refused() -> None:
    with pytest.raises(DataError, match="1 item ids come more than once, such as cup"):
        read_sets(pa.table({"item_id": ["cup", "cup"], "value": ["a", "b"]}), TokenSettings())
    with pytest.raises(DataError, match="1 items have no item_id"):
        read_sets(pa.table({"item_id": ["cup", None], "value": ["a", "b"]}), TokenSettings())


def test_values_of_another_type_are_refused() -> None:
    with pytest.raises(DataError, match="values of type double"):
        read_sets(pa.table({"item_id": ["cup"], "value": [1.5]}), TokenSettings())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), min_size=1, max_size=12), st.integers(1, 3))
def test_items_with_equal_sets_are_copies_of_the_first(values: list[list[str]], threads: int) -> None:
    for sets in (make_sets(values), make_sets([" ".join(value) for value in values])):
        kept, copies = collapse_set_copies(sets, threads=threads)
        first: dict[frozenset[str], str] = {}
        expected = {}
        for n, value in enumerate(values):
            representative = first.setdefault(frozenset(value), f"{n:06d}")
            if representative != f"{n:06d}":
                expected[f"{n:06d}"] = representative
        assert dict(zip(*copies.to_pydict().values(), strict=True)) == expected
        assert kept.ids.to_pylist() == list(first.values())


def test_sets_that_only_hash_alike_are_no_copies() -> None:
    everyone = make_sets(["a b", "c d", "b a", "d c", "e f g"])
    profiled = profile_sets(everyone, threads=1)
    assert profiled.profile is not None
    alike = replace(profiled, profile=profiled.profile._replace(digest_N=np.zeros(5, np.uint64)))
    kept, copies = collapse_set_copies(alike)
    assert kept.ids.to_pylist() == ["000000", "000001", "000004"]
    assert copies["representative_id"].to_pylist() == ["000000", "000001"]
