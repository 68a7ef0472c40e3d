"""datasketch in memory: pairs of texts by MinHash LSH over their word 3-grams, candidates verified exactly."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq
from datasketch import MinHash, MinHashLSH
from serving import serve

GRAM = 3
TEXTS: list[str] = []
PAIRS: list[tuple[int, int]] = []


def open_texts(folder: str, rows: int) -> int:
    """Read so many texts, from the first on; return how many bytes they have."""
    texts = pq.read_table(folder, columns=["text"])["text"]
    TEXTS[:] = texts.slice(0, rows).to_pylist()
    return sum(len(text.encode()) for text in TEXTS)


def join_texts(threshold: float, bands: list[int] | None) -> int:
    """Find the pairs of at least a Jaccard similarity; return how many.

    `bands` are the number of bands and of hashes in each; None leaves them to datasketch, for 128 hashes.
    """
    hashes = bands[0] * bands[1] if bands else 128
    lsh = MinHashLSH(threshold=threshold, num_perm=hashes, params=tuple(bands) if bands else None)
    sets: list[set[bytes]] = []
    PAIRS.clear()
    for row, sketch in enumerate(MinHash.generator(cut_texts(sets), num_perm=hashes)):
        own = sets[row]
        for other in lsh.query(sketch):
            if is_similar(own, sets[other], threshold):
                PAIRS.append((other, row))
        lsh.insert(row, sketch, check_duplication=False)
    return len(PAIRS)


def cut_texts(sets: list[set[bytes]]) -> Iterator[set[bytes]]:
    """Cut each text into its set of word 3-grams, and keep it."""
    for text in TEXTS:
        words = text.lower().encode().split()
        sets.append({b" ".join(words[i : i + GRAM]) for i in range(max(1, len(words) - GRAM + 1))})
        yield sets[-1]


def is_similar(left: set[bytes], right: set[bytes], threshold: float) -> bool:
    """Compare two sets exactly."""
    common = len(left & right)
    return common >= threshold * (len(left) + len(right) - common)


def found_pairs() -> list[tuple[int, int]]:
    """The pairs found last, as rows."""
    return PAIRS


serve({"open_texts": open_texts, "join_texts": join_texts, "found_pairs": found_pairs})
