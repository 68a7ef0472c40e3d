"""What the benchmark of the similarity join has to find: planted pairs, brute force on some rows, every similarity.

A recall is that of `kinfolk.similarity.recall`: the share of an item's true partners, averaged over items.

Shape suffixes: N rows, D coordinates, P pairs, K neighbours, S rows that are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from numpy.typing import NDArray

from ._join_data import GRAM
from .harness import Reading, WrongResult

ROUNDING = 1e-6
"""A similarity may differ by this much from what float64 gives."""
SAMPLE_PAIRS = 1_000
BLOCK_ROWS = 64


@dataclass(frozen=True)
class Found:
    """Pairs of positions, left < right, with their similarity."""

    left_P: NDArray[np.int64]
    right_P: NDArray[np.int64]
    similarity_P: NDArray[np.float64]

    def keys(self) -> NDArray[np.int64]:
        """One number for each pair."""
        return keys_of(self.left_P, self.right_P)


@dataclass(frozen=True)
class Nearest:
    """The true neighbours of some rows: their positions, and how similar the last of them is."""

    row_S: NDArray[np.int64]
    code_SK: NDArray[np.int64]
    last_S: NDArray[np.float64]


def keys_of(left_P: NDArray[np.int64], right_P: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each pair of positions, which stay below 2^31."""
    return left_P.astype(np.int64) << 32 | right_P


def read_table(table: Path) -> pa.Table:
    """Read a Delta table that a side has written."""
    return DeltaTable(table).to_pyarrow_table()


def positions(ids: pa.ChunkedArray) -> NDArray[np.int64]:
    """The positions that ids stand for."""
    return ids.cast(pa.int64()).to_numpy()


def read_pairs(table: Path) -> Found:
    """Read pairs; raise WrongResult where one comes twice or the wrong way round."""
    rows = read_table(table)
    columns = (positions(rows["left_id"]), positions(rows["right_id"]), rows["similarity"].to_numpy())
    return require_pairs(Found(*columns))


def require_pairs(found: Found) -> Found:
    """Raise WrongResult where a pair comes twice or the wrong way round."""
    wrong = int((found.left_P >= found.right_P).sum())
    repeated = len(found.left_P) - len(np.unique(found.keys()))
    if wrong or repeated:
        raise WrongResult(f"of {len(found.left_P)} pairs {wrong} have left >= right, and {repeated} came before")
    return found


def read_neighbors(table: Path, rows: int, neighbors: int) -> NDArray[np.int64]:
    """Read the neighbours of all rows by rank; raise WrongResult where some are missing."""
    found = read_table(table)
    if found.num_rows != rows * neighbors:
        raise WrongResult(f"{found.num_rows} neighbours of {rows} rows; {neighbors} of each were to come")
    code_NK = np.full((rows, neighbors), -1)
    code_NK[positions(found["item_id"]), found["rank"].to_numpy() - 1] = positions(found["neighbor_id"])
    return code_NK


def read_vectors(folder: Path) -> NDArray[np.float32]:
    """Read the embeddings of a folder of data, in the order of the ids."""
    column = pq.read_table(folder / "items", columns=["embedding"])["embedding"]
    flat = np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks])
    return flat.reshape(len(column), -1)


def read_texts(folder: Path) -> pa.StringArray:
    """Read the texts of a folder of data, in the order of the ids."""
    return pq.read_table(folder / "items", columns=["text"])["text"].combine_chunks()


def unit_rows(vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale vectors to length 1."""
    return vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)


def find_nearest(vectors_ND: NDArray[np.float32], row_S: NDArray[np.int64], neighbors: int) -> Nearest:
    """Compare some rows with all others."""
    unit_ND = unit_rows(vectors_ND)
    parts = []
    for start in range(0, len(row_S), BLOCK_ROWS):
        rows = row_S[start : start + BLOCK_ROWS]
        scores = unit_ND[rows] @ unit_ND.T
        scores[np.arange(len(rows)), rows] = -np.inf
        # A few more than wanted, so that the order of those at the edge can be told in float64.
        edge = np.argpartition(-scores, neighbors + 6, axis=1)[:, : neighbors + 6]
        exact = np.einsum("sd,skd->sk", unit_ND[rows].astype(np.float64), unit_ND[edge].astype(np.float64))
        order = np.argsort(-exact, axis=1)[:, :neighbors]
        parts.append((np.take_along_axis(edge, order, axis=1), np.take_along_axis(exact, order, axis=1)[:, -1]))
    return Nearest(row_S, np.concatenate([codes for codes, _ in parts]), np.concatenate([last for _, last in parts]))


def recall_of_neighbors(vectors_ND: NDArray[np.float32], truth: Nearest, code_NK: NDArray[np.int64]) -> float:
    """Share of the true neighbours that were found; one as similar as the last of them counts as it."""
    unit_ND = unit_rows(vectors_ND)
    found_SK = code_NK[truth.row_S]
    if (found_SK == truth.row_S[:, None]).any() or (np.diff(np.sort(found_SK, axis=1), axis=1) == 0).any():
        raise WrongResult("a row is its own neighbour, or has one twice")
    similarity_SK = np.einsum("sd,skd->sk", unit_ND[truth.row_S], unit_ND[found_SK], dtype=np.float64)
    return float((similarity_SK >= truth.last_S[:, None] - ROUNDING).mean())


def recall_of_planted(folder: Path, found: Found, threshold: float) -> float:
    """Share of the planted pairs of at least the threshold that were found; an item has one planted partner at most."""
    planted = pq.read_table(folder / "truth.parquet")
    planted = planted.filter(pa.array(planted["similarity"].to_numpy() >= threshold))
    keys = keys_of(positions(planted["left_id"]), positions(planted["right_id"]))
    return float(np.isin(keys, found.keys()).mean())


def recall_of_rows(truth: Found, found: Found, rows: int) -> float:
    """Share of the true partners found of a row, averaged over the rows that have any."""
    is_found_P = np.isin(truth.keys(), found.keys())
    ends = np.concatenate([truth.left_P, truth.right_P])
    true_N = np.bincount(ends, minlength=rows)
    hits_N = np.bincount(ends[np.tile(is_found_P, 2)], minlength=rows)
    return float((hits_N[true_N > 0] / true_N[true_N > 0]).mean())


def check_cosines(vectors_ND: NDArray[np.float32], found: Found, threshold: float) -> None:
    """Raise WrongResult unless each pair has the cosine it says, at least the threshold."""
    for start in range(0, len(found.left_P), 1 << 18):
        part = slice(start, start + (1 << 18))
        sides = (vectors_ND[side[part]].astype(np.float64) for side in (found.left_P, found.right_P))
        left, right = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
        require_similarities((left * right).sum(axis=1), found.similarity_P[part], threshold)


def recall_of_planted_words(folder: Path, found: Found, texts: pa.StringArray, threshold: float) -> float:
    """Share of the planted pairs found that are at least so similar as sets of words."""
    planted = pq.read_table(folder / "truth.parquet")
    left_P, right_P = positions(planted["left_id"]), positions(planted["right_id"])
    is_similar_P = jaccards(texts, left_P, right_P, gram=1) >= threshold
    return float(np.isin(keys_of(left_P, right_P)[is_similar_P], found.keys()).mean())


def check_jaccards(texts: pa.StringArray, found: Found, threshold: float, *, gram: int = GRAM) -> None:
    """Raise WrongResult unless pairs drawn at random have the Jaccard similarity they say, at least the threshold."""
    count = len(found.left_P)
    drawn = np.random.default_rng(0).choice(count, min(count, SAMPLE_PAIRS), replace=False)
    true_P = jaccards(texts, found.left_P[drawn], found.right_P[drawn], gram=gram)
    require_similarities(true_P, found.similarity_P[drawn], threshold)


def jaccards(
    texts: pa.StringArray, left_P: NDArray[np.int64], right_P: NDArray[np.int64], *, gram: int
) -> NDArray[np.float64]:
    """The similarity of pairs of texts as sets of word n-grams."""
    left, right = (texts.take(pa.array(side)).to_pylist() for side in (left_P, right_P))
    return np.array([jaccard(grams_of(a, gram), grams_of(b, gram)) for a, b in zip(left, right, strict=True)])


def require_similarities(true_P: NDArray[np.float64], said_P: NDArray[np.float64], threshold: float) -> None:
    """Raise WrongResult unless these are the same, and none is below the threshold."""
    if len(true_P) and (abs(true_P - said_P).max() > ROUNDING or true_P.min() < threshold - ROUNDING):
        off, least = abs(true_P - said_P).max(), true_P.min()
        raise WrongResult(f"similarities are off by up to {off:.2g}; the least is {least:.6f}, asked for {threshold}")


def grams_of(text: str, gram: int = GRAM) -> set[tuple[str, ...]]:
    """The word n-grams, by default 3-grams, of a text whose words stand apart by blanks."""
    words = text.lower().split()
    return {tuple(words[i : i + gram]) for i in range(max(1, len(words) - gram + 1))}


def jaccard(left: set[tuple[str, ...]], right: set[tuple[str, ...]]) -> float:
    """Common tokens over all."""
    return len(left & right) / len(left | right)


def recall_readings(case: str, ours: float, peer: float | None, least: float) -> dict[str, Reading]:
    """Readings of what both sides found, None for a peer that was stopped; raises WrongResult below `least`."""
    sides = {"ours": ours} | ({} if peer is None else {"peer": peer})
    short = [f"{side} found {recall:.4f}" for side, recall in sides.items() if recall < least]
    if short:
        raise WrongResult(f"{' and '.join(short)} of what there is; {least} was asked for")
    return {f"join.recall.{case}.{side}": Reading(recall, f"at least {least}") for side, recall in sides.items()}
