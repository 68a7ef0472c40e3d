"""What the benchmark of the similarity join reads: vectors and documents with a planted truth, as Parquet.

Every table is drawn from a seed of its own and lies in a folder `items` with the columns item_id and embedding or text;
beside it `truth.parquet` lists the planted pairs. The id of an item is its position, in so many digits that ids sort as
positions do.

Shape suffixes: N items, D coordinates, P planted pairs, W words of a document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kinfolk.samples.lookalikes import read_glove

from .harness import Bench

WORDS = 130
"""Words of a document: of 5 letters on average, so that one in Latin letters has some 775 bytes."""
GRAM = 3
VOCABULARY = 50_000
STOP_WORDS = 181
"""The most frequent words, as many as MLlib's StopWordsRemover takes out of English: two documents that have nothing to
do with each other have a Jaccard similarity of .08 with them, and of .006 without."""
ZIPF_STEPS = 1 << 22
"""Parts of the probability that are dealt out to the words: the rarest gets 7 of them."""
BOILERPLATE = 98
"""Words that hot documents have in common: the Jaccard similarity of two of them is .6."""
HOT_COSINE = 0.4
"""Cosine of two hot vectors, on average; of 40,000 with 64 coordinates no two come near .85."""
ALPHABETS = (
    ("a", "z"),
    ("à", "ÿ"),
    ("α", "ω"),
    ("а", "я"),
    ("ա", "ֆ"),
    ("א", "ת"),
    ("ب", "ي"),
    ("क", "ह"),
    ("ก", "ฮ"),
    ("가", "깋"),
)
"""First and last letter of what words of a script are made of; the first is ASCII."""
LETTERS = (5, 3, 7, 4, 6)
"""Letters of the most frequent words, and so on in turns."""
ID_DIGITS = 8
ROWS_OF_A_FILE = 50_000


@dataclass(frozen=True)
class Planted:
    """The pairs that were made alike, left < right, and their exact similarity."""

    left_P: NDArray[np.int64]
    right_P: NDArray[np.int64]
    similarity_P: NDArray[np.float64]


@dataclass(frozen=True)
class Documents:
    """Documents as ranks of words, 0 the most frequent, each in one script."""

    words_NW: NDArray[np.uint16]
    script_N: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.words_NW)


def plant_vectors(
    rows: int, *, size: int = 64, pairs: int, cosine: float = 0.9, hot_share: float = 0.0
) -> tuple[NDArray[np.float32], Planted]:
    """Draw directions at random, of which 2 x `pairs` rows have one partner each, at that cosine.

    A share of the rows, the hot ones, lies around one direction: in one cell, and yet apart by more than a threshold.
    """
    random = np.random.default_rng([1, rows, size, pairs])
    vectors_ND = _directions(random, rows, size)
    hot = random.permutation(rows)[: round(rows * hot_share)]
    vectors_ND[hot] = lean(vectors_ND[hot], _directions(random, 1, size), np.sqrt(HOT_COSINE))
    left_P, right_P = _draw_pairs(random, rows, pairs)
    # The partner leans towards a row, away from which a third vector gives it its direction.
    vectors_ND[right_P] = lean(_directions(random, pairs, size), vectors_ND[left_P], cosine)
    return vectors_ND.astype(np.float32), Planted(left_P, right_P, np.full(pairs, cosine))


def _directions(random: np.random.Generator, rows: int, size: int) -> NDArray[np.float64]:
    return _unit(random.standard_normal((rows, size)))


def lean(vectors_ND: NDArray[np.float64], towards_ND: NDArray[np.float64], cosine: float) -> NDArray[np.float64]:
    """Turn unit vectors in the plane with others until they have that cosine with them."""
    across_ND = _unit(vectors_ND - (vectors_ND * towards_ND).sum(axis=1, keepdims=True) * towards_ND)
    return cosine * towards_ND + np.sqrt(1 - cosine**2) * across_ND


def _unit(vectors_ND: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)


def _draw_pairs(random: np.random.Generator, rows: int, pairs: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw pairs of rows, none of them twice."""
    drawn = random.permutation(rows)[: 2 * pairs].reshape(2, pairs)
    return drawn.min(axis=0), drawn.max(axis=0)


def plant_documents(rows: int, *, pairs: int, scripts: int = 1, hot_share: float = 0.0) -> tuple[Documents, Planted]:
    """Draw documents of Zipf's words; `pairs` of them are copies of others with 1 to 5 words replaced.

    The Jaccard similarity of the word 3-grams of such a pair is about .95, .91, .87, .83 or .79. A share of the
    documents, the hot ones, begins with the same boilerplate.
    """
    random = np.random.default_rng([2, rows, pairs, scripts])
    words_NW = np.empty((rows, WORDS), np.uint16)
    ranks = _zipf_ranks()
    for start in range(0, rows, ROWS_OF_A_FILE):
        part = words_NW[start : start + ROWS_OF_A_FILE]
        part[:] = ranks[random.integers(0, ZIPF_STEPS, part.shape, dtype=np.uint32)]
    script_N = random.integers(0, scripts, rows, dtype=np.uint8)
    hot = random.permutation(rows)[: round(rows * hot_share)]
    words_NW[hot, :BOILERPLATE] = words_NW[hot[:1], :BOILERPLATE]
    script_N[hot] = script_N[hot[:1]]
    left_P, right_P = _draw_pairs(random, rows, pairs)
    words_NW[right_P] = _edit(random, words_NW[left_P])
    script_N[right_P] = script_N[left_P]
    return Documents(words_NW, script_N), Planted(left_P, right_P, jaccard_of(words_NW[left_P], words_NW[right_P]))


@cache
def _zipf_ranks() -> NDArray[np.uint16]:
    """The word of every part of the probability: a word gets as many parts as its share by Zipf's law."""
    share = 1 / np.arange(1, VOCABULARY + 1)
    ends = np.round(np.cumsum(share) / share.sum() * ZIPF_STEPS).astype(np.int64)
    return np.repeat(np.arange(VOCABULARY, dtype=np.uint16), np.diff(ends, prepend=0))


def _edit(random: np.random.Generator, words_PW: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Replace 1 to 5 words in each, at least GRAM words from each other and from the ends."""
    edited_PW = words_PW.copy()
    places = np.arange(GRAM, WORDS - GRAM, GRAM)
    counts = random.integers(1, 6, len(words_PW))
    order = random.random((len(words_PW), len(places))).argsort(axis=1)[:, :5]
    is_edited = np.arange(5) < counts[:, None]
    row, nth = np.nonzero(is_edited)
    # Words of the rarer half, so that hardly a new 3-gram stands elsewhere too.
    edited_PW[row, places[order[row, nth]]] = random.integers(VOCABULARY // 2, VOCABULARY, len(row))
    return edited_PW


def jaccard_of(left_PW: NDArray[np.uint16], right_PW: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Exact Jaccard similarity of the sets of word 3-grams, row by row."""
    left, right = _grams(left_PW), _grams(right_PW)
    of_left, of_right, of_both = map(_distinct, (left, right, np.concatenate([left, right], axis=1)))
    return (of_left + of_right - of_both) / of_both


def _grams(words_PW: NDArray[np.uint16]) -> NDArray[np.int64]:
    words = words_PW.astype(np.int64)
    return (words[:, :-2] << 32) | (words[:, 1:-1] << 16) | words[:, 2:]


def _distinct(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Distinct values of each row."""
    return 1 + (np.diff(np.sort(values, axis=1), axis=1) != 0).sum(axis=1)


def write_vectors(
    folder: Path,
    vectors_ND: NDArray[np.float32],
    truth: Planted | None = None,
    *,
    positions_N: NDArray[np.int64] | None = None,
) -> None:
    """Write vectors and what was planted among them; positions, all of them by default, give the ids."""
    size = vectors_ND.shape[1]

    def embeddings(part: slice) -> pa.Array:
        values = np.ascontiguousarray(vectors_ND[part]).ravel()
        return pa.ListArray.from_arrays(np.arange(0, len(values) + 1, size, dtype=np.int32), values)

    _write(folder, np.arange(len(vectors_ND)) if positions_N is None else positions_N, "embedding", embeddings)
    _write_truth(folder, truth)


def write_documents(folder: Path, documents: Documents, truth: Planted | None = None, *, stop_words: int = 0) -> None:
    """Write the texts of documents, without so many of the most frequent words, and what was planted among them."""
    _write(folder, np.arange(len(documents)), "text", lambda part: texts_of(documents, part, stop_words=stop_words))
    _write_truth(folder, truth)


def _write(folder: Path, positions_N: NDArray[np.int64], column: str, values_of: Callable[[slice], pa.Array]) -> None:
    items = folder / "items"
    items.mkdir()
    for number, start in enumerate(range(0, len(positions_N), ROWS_OF_A_FILE)):
        part = slice(start, start + ROWS_OF_A_FILE)
        table = pa.table({"item_id": ids_of(positions_N[part]), column: values_of(part)})
        pq.write_table(table, items / f"part-{number:03d}.parquet")


def _write_truth(folder: Path, truth: Planted | None) -> None:
    if truth is not None:
        columns = {"left_id": ids_of(truth.left_P), "right_id": ids_of(truth.right_P)}
        pq.write_table(pa.table({**columns, "similarity": truth.similarity_P}), folder / "truth.parquet")


def ids_of(positions: NDArray[np.int64]) -> pa.Array:
    """The ids of the items at these positions."""
    return pc.utf8_lpad(pa.array(positions).cast(pa.string()), ID_DIGITS, padding="0")


def texts_of(documents: Documents, part: slice, *, stop_words: int = 0) -> pa.Array:
    """Texts: words, each followed by a blank but the last; so many of the most frequent ones are left out."""
    is_kept = documents.words_NW[part] >= stop_words
    words = documents.words_NW[part].astype(np.int32) + documents.script_N[part, None] * np.int32(VOCABULARY)
    flat = vocabulary(int(documents.script_N.max(initial=0)) + 1).take(pa.array(words[is_kept]))
    offsets = pa.array(np.cumsum([0, *is_kept.sum(axis=1)], dtype=np.int32))
    return pc.binary_join(pa.ListArray.from_arrays(offsets, flat), " ")


@cache
def vocabulary(scripts: int) -> pa.Array:
    """The words of the scripts, one after the other; every tenth is written with a capital where there are any."""
    return pa.array([word for alphabet in ALPHABETS[:scripts] for word in _words(*alphabet)])


def _words(first: str, last: str) -> list[str]:
    """Distinct words of letters between the two."""
    letters = [chr(code) for code in range(ord(first), ord(last) + 1)]
    # Letters whose capital leads back to them; scripts without capitals have such letters only.
    letters = [letter for letter in letters if letter.isalpha() and letter.upper().lower() == letter]
    random = np.random.default_rng([3, ord(first)])
    each = VOCABULARY // len(LETTERS)
    # Four times as many as are needed: of three letters there are few words, and many come twice.
    drawn = (np.array(letters)[random.integers(0, len(letters), (4 * each, length))] for length in LETTERS)
    by_length = [list(dict.fromkeys(spelled.view(f"U{spelled.shape[1]}").ravel().tolist()))[:each] for spelled in drawn]
    words = [word for turn in zip(*by_length, strict=True) for word in turn]
    return [word.capitalize() if rank % 10 == 9 else word for rank, word in enumerate(words)]


def planted_vectors(bench: Bench, rows: int) -> Path:
    """Vectors of which each has a partner."""

    def make(folder: Path) -> None:
        write_vectors(folder, *plant_vectors(rows, pairs=rows // 2))

    return bench.data(f"vectors-{rows}", make)


def planted_documents(bench: Bench, rows: int, scripts: int = 1) -> Path:
    """Documents of which every eighth is a copy of another one, with some words replaced."""

    def make(folder: Path) -> None:
        write_documents(folder, *plant_documents(rows, pairs=rows // 8, scripts=scripts))

    return bench.data(f"documents-{rows}-scripts-{scripts}", make)


def planted_words(bench: Bench, rows: int) -> Path:
    """The same documents without stop words."""

    def make(folder: Path) -> None:
        write_documents(folder, *plant_documents(rows, pairs=rows // 8), stop_words=STOP_WORDS)

    return bench.data(f"documents-{rows}-without-{STOP_WORDS}-words", make)


def glove(bench: Bench, rows: int) -> Path:
    """Vectors of words, drawn at random."""

    def make(folder: Path) -> None:
        write_vectors(folder, read_words(rows))

    return bench.data(f"glove-{rows}", make)


def read_words(rows: int) -> NDArray[np.float32]:
    """The vectors of so many words of GloVe, drawn at random."""
    vectors_ND = read_glove()[1]
    drawn = np.random.default_rng(rows).permutation(len(vectors_ND))[:rows]
    words_ND: NDArray[np.float32] = vectors_ND[np.sort(drawn)]
    return words_ND
