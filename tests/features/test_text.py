"""Words and pieces against a slow reading of the rules; the vocabulary's order."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfolk.features.text import count_items, fit_vocabulary, list_tokens
from kinfolk.settings import FeatureSettings

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("aB1_ '-éßçहिন্\u0301🙂"), max_size=40)


def slow_tokens(text: str) -> list[str]:
    """The rules, character by character."""
    words, word = [], ""
    for character in [*text.casefold(), " "]:
        is_mark = unicodedata.category(character).startswith("M")
        if character.isalnum() or (word and is_mark):
            word += character
        elif word:
            words.append(word)
            word = ""
    tokens = ["word:" + word for word in words]
    for word in words:
        marked = "<" + word + ">"
        for size in (3, 4):
            for start in range(len(marked)):
                if start + size <= len(marked):
                    tokens.append("gram:" + marked[start : start + size])
    return tokens


@given(TEXTS)
def test_tokens_follow_the_rules(text):
    assert list_tokens(text) == slow_tokens(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Grinning FACE, 2nd!", ["grinning", "face", "2nd"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("snake_case man’s", ["snake", "case", "man", "s"]),
        ("हिन्दी नमस्ते", ["हिन्दी", "नमस्ते"]),
        ("e\u0301te", ["e\u0301te"]),
        ("…!?", []),
    ],
)
def test_words_of_many_scripts(text, words):
    assert [token.removeprefix("word:") for token in list_tokens(text) if token.startswith("word:")] == words


def test_a_word_never_is_taken_for_a_piece():
    assert "word:cat" in list_tokens("cat")
    assert "gram:cat" in list_tokens("cat")
    assert "word:cat" not in list_tokens("cats")


@given(st.lists(st.none() | TEXTS, max_size=8))
def test_items_are_counted_once_for_each_token(texts):
    expected = Counter(token for text in texts for token in set(slow_tokens(text or "")))
    assert count_items(texts) == expected


def test_the_commonest_tokens_come_first_and_ties_by_name():
    counts = {"word:b": 5, "word:a": 5, "word:rare": 1, "gram:abc": 9, "word:z": 2}
    vocabulary = fit_vocabulary(counts, FeatureSettings(min_token_items=2, max_vocabulary=3))
    assert vocabulary.tokens == ("gram:abc", "word:a", "word:b")
    assert vocabulary.to_arrow().to_pydict() == {
        "token": ["gram:abc", "word:a", "word:b"],
        "token_id": [1, 2, 3],
        "item_count": [9, 5, 5],
    }


@given(st.lists(TEXTS, min_size=1, max_size=6), TEXTS)
def test_encoding_keeps_known_tokens_in_order(texts, text):
    vocabulary = fit_vocabulary(count_items(texts), FeatureSettings(min_token_items=1))
    known = [token for token in slow_tokens(text) if token in vocabulary.tokens]
    assert [vocabulary.tokens[number - 1] for number in vocabulary.encode(text, max_tokens=1000)] == known
    assert len(vocabulary.encode(text, max_tokens=2)) == min(2, len(known))


def test_an_unknown_word_still_has_known_pieces():
    vocabulary = fit_vocabulary(count_items(["grinning"]), FeatureSettings(min_token_items=1))
    assert vocabulary.encode("grin", max_tokens=100)
    assert vocabulary.encode("xyz", max_tokens=100) == []
