"""The tokens of a text as people read them, and where they stand: those that `shingles` hashes, found the slow way."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from kinfolk.settings import TokenSettings


@dataclass(frozen=True)
class Span:
    """A unit or a token of a text: its wording as it is compared, and where it stands in the text."""

    wording: str
    start: int
    stop: int


@dataclass(frozen=True)
class Passage:
    """A stretch of a text; `is_shared` says that tokens which another text has as well cover it."""

    text: str
    is_shared: bool


def find_tokens(text: str, tokens: TokenSettings) -> list[Span]:
    """The tokens of a text in their order, with repetitions; none where it has no unit.

    >>> [span.wording for span in find_tokens("A red, red CUP", TokenSettings(length=2))]
    ['a red', 'red red', 'red cup']
    """
    between = " " if tokens.unit == "words" else ""
    units = list(_find_words(text) if tokens.unit == "words" else _find_characters(text))
    length = min(tokens.length, len(units))
    runs = [units[start : start + length] for start in range(len(units) - length + 1) if length]
    return [Span(between.join(unit.wording for unit in run), run[0].start, run[-1].stop) for run in runs]


def mark_passages(text: str, spans: Sequence[Span], shared: Set[str]) -> tuple[Passage, ...]:
    """Cut a text into stretches that shared tokens cover, and the others; joined they are the text again.

    `spans` are its tokens in their order, `shared` the wordings that count.

    >>> text = "A red, red cup"
    >>> [passage.text for passage in mark_passages(text, find_tokens(text, TokenSettings(length=2)), {"red red"})]
    ['A ', 'red, red', ' cup']
    """
    passages, end = [], 0
    for start, stop in _merge([span for span in spans if span.wording in shared]):
        passages += [Passage(text[end:start], is_shared=False), Passage(text[start:stop], is_shared=True)]
        end = stop
    passages.append(Passage(text[end:], is_shared=False))
    return tuple(passage for passage in passages if passage.text)


def _find_words(text: str) -> Iterator[Span]:
    """The longest runs of letters, marks and decimal digits."""
    start = None
    for place, character in enumerate(f"{text} "):
        category = unicodedata.category(character)
        is_part = category[0] in "LM" or category == "Nd"
        if is_part and start is None:
            start = place
        elif not is_part and start is not None:
            yield Span(_lower(text[start:place]), start, place)
            start = None


def _find_characters(text: str) -> Iterator[Span]:
    """Every character, a run of white space as one blank; white space at both ends is nothing."""
    end = None
    for place, character in enumerate(text):
        if character.isspace():
            continue
        if end is not None and end < place:
            yield Span(" ", end, place)
        yield Span(_lower(character), place, place + 1)
        end = place + 1


def _lower(text: str) -> str:
    """Each character's simple lower case; of the only one that has two characters there, U+0130, the first of them."""
    return "".join(character.lower()[0] for character in text)


def _merge(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """What spans cover, as stretches (start, stop) that do not touch; neither end of a later span is an earlier one."""
    stretches: list[tuple[int, int]] = []
    for span in spans:
        start, stop = span.start, span.stop
        if stretches and start <= stretches[-1][1]:
            start = stretches.pop()[0]
        stretches.append((start, stop))
    return stretches
