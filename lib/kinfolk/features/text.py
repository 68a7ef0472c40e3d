"""Texts as token ids: words, and pieces of words, so that an unknown word still has known pieces.

Pieces are the runs of three and of four characters of a word whose ends are marked: `cat` has `<ca`, `cat`, `at>`,
`<cat` and `cat>` (Bojanowski et al., "Enriching Word Vectors with Subword Information", TACL 2017, section 3.2).
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import pyarrow as pa

from kinfolk.settings import FeatureSettings

WORD = "word:"
"""Begins tokens that are words."""
GRAM = "gram:"
"""Begins tokens that are pieces of words."""
GRAM_LENGTHS = (3, 4)


def list_tokens(text: str) -> list[str]:
    """Split a text into tokens: its words in order, then the pieces of each of them.

    Words are runs of letters and digits of any script with their marks, case folded. Their pieces come last, so that
    words are what is left of a text that has too many tokens.

    >>> list_tokens("Cat 7")
    ['word:cat', 'word:7', 'gram:<ca', 'gram:cat', 'gram:at>', 'gram:<cat', 'gram:cat>', 'gram:<7>']
    """
    words = _word_pattern().findall(text.casefold())
    pieces = [GRAM + piece for word in words for piece in _list_pieces(word)]
    return [WORD + word for word in words] + pieces


def _list_pieces(word: str) -> list[str]:
    marked = f"<{word}>"
    return [marked[start : start + size] for size in GRAM_LENGTHS for start in range(len(marked) - size + 1)]


@lru_cache(maxsize=1)
def _word_pattern() -> re.Pattern[str]:
    r"""Letters and digits, with the marks that follow them, such as the vowel signs of Devanagari.

    Python's `\w` has no marks, and would cut words of many scripts to pieces.
    """
    marks = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("M")]
    return re.compile(rf"[^\W_]+(?:[{''.join(marks)}]+[^\W_]*)*")


def count_items(texts: Iterable[str | None]) -> Counter[str]:
    """In how many texts each token occurs."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(list_tokens(text or "")))
    return counts


@dataclass(frozen=True)
class Vocabulary:
    """Tokens, of which the first has id 1, and the number of training items that each occurs in."""

    tokens: tuple[str, ...]
    item_counts: tuple[int, ...]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens, start=1)}

    def encode(self, text: str, *, max_tokens: int) -> list[int]:
        """The ids of a text's tokens, in their order, without unknown ones; of many, the first `max_tokens`."""
        known = [self._ids[token] for token in list_tokens(text) if token in self._ids]
        return known[:max_tokens]

    def to_arrow(self) -> pa.Table:
        """Rows of the table text_vocabulary."""
        columns = {
            "token": pa.array(self.tokens, pa.string()),
            "token_id": pa.array(range(1, len(self.tokens) + 1), pa.int32()),
            "item_count": pa.array(self.item_counts, pa.int64()),
        }
        return pa.table(columns)


def fit_vocabulary(item_counts: Mapping[str, int], settings: FeatureSettings) -> Vocabulary:
    """Keep the commonest tokens of those that enough training items have; ties go to the token that sorts first."""
    kept = [(token, count) for token, count in item_counts.items() if count >= settings.min_token_items]
    kept.sort(key=lambda entry: (-entry[1], entry[0]))
    kept = kept[: settings.max_vocabulary]
    return Vocabulary(tuple(token for token, _ in kept), tuple(count for _, count in kept))
