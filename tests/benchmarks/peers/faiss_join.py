"""FAISS in memory: the nearest others of every row by cosine, with its flat and its IVF index.

Shape suffixes: N rows, D coordinates, K neighbours, 1 one more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import faiss
import numpy as np
import pyarrow.parquet as pq
from serving import serve

SAMPLE_ROWS = 20_000
"""Rows whose search tells, at calibration, how long that of all rows will take."""


@dataclass
class Held:
    """What stays between calls: the vectors, and the neighbours found last."""

    vectors_ND: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    code_NK: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.int64))


HELD = Held()


def open_vectors(folder: str, threads: int) -> int:
    """Read the vectors of all rows, scaled to length 1, and compute with so many threads from now on."""
    embeddings = pq.read_table(folder, columns=["embedding"])["embedding"]
    flat = np.concatenate([chunk.flatten().to_numpy() for chunk in embeddings.chunks])
    HELD.vectors_ND = flat.reshape(len(embeddings), -1)
    faiss.normalize_L2(HELD.vectors_ND)
    faiss.omp_set_num_threads(threads)
    return len(embeddings)


def search_flat(neighbors: int) -> int:
    """Search the neighbours of all rows exactly; return how many rows there are."""
    index = faiss.IndexFlatIP(HELD.vectors_ND.shape[1])
    index.add(HELD.vectors_ND)
    HELD.code_NK = search_others(index, np.arange(len(HELD.vectors_ND)), neighbors)
    return len(HELD.code_NK)


def search_ivf(lists: int, probes: int, neighbors: int) -> int:
    """Train, add and search the neighbours of all rows; return how many rows there are."""
    index = build_ivf(lists)
    index.nprobe = probes
    HELD.code_NK = search_others(index, np.arange(len(HELD.vectors_ND)), neighbors)
    return len(HELD.code_NK)


def calibrate_ivf(choices: list[int], neighbors: int, recall: float, truth: str) -> dict[str, Any]:
    """Find the fewest probes that reach a recall on some rows for each number of lists; return the fastest of them.

    `truth` is an .npz with `row_N` and their true neighbours `code_NK`.
    """
    known = np.load(truth)
    return min((try_lists(lists, neighbors, recall, known) for lists in choices), key=lambda tried: tried["seconds"])


def try_lists(lists: int, neighbors: int, recall: float, known: Any) -> dict[str, Any]:
    """Say how many probes so many lists need, and guess from a sample how long training, adding and searching take."""
    began = time.perf_counter()
    index = build_ivf(lists)
    built = time.perf_counter() - began

    def reach(probes: int) -> float:
        index.nprobe = probes
        return recall_of(search_others(index, known["row_N"], neighbors), known["code_NK"])

    probes, too_few = 1, 0
    while reach(probes) < recall and probes < lists:
        probes, too_few = min(lists, 2 * probes), probes
    while probes - too_few > 1:
        middle = (probes + too_few) // 2
        probes, too_few = (middle, too_few) if reach(middle) >= recall else (probes, middle)
    reached = reach(probes)
    rows = len(HELD.vectors_ND)
    sample = np.random.default_rng(0).choice(rows, min(rows, SAMPLE_ROWS), replace=False)
    began = time.perf_counter()
    search_others(index, sample, neighbors)
    seconds = built + (time.perf_counter() - began) * rows / len(sample)
    return {"lists": lists, "probes": probes, "recall": reached, "seconds": seconds}


def build_ivf(lists: int) -> Any:
    """Train an index of so many lists, and add all rows."""
    size = HELD.vectors_ND.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(size), size, lists, faiss.METRIC_INNER_PRODUCT)
    index.train(HELD.vectors_ND)
    index.add(HELD.vectors_ND)
    return index


def search_others(index: Any, row_N: np.ndarray, neighbors: int) -> np.ndarray:
    """Search the neighbours of some rows, themselves left out."""
    _, code_NK1 = index.search(HELD.vectors_ND[row_N], neighbors + 1)
    is_other_NK1 = code_NK1 != row_N[:, None]
    # Where a row did not find itself, it is the last one that is too many.
    is_other_NK1[is_other_NK1.all(axis=1), -1] = False
    return code_NK1[is_other_NK1].reshape(len(row_N), neighbors)


def recall_of(found_NK: np.ndarray, true_NK: np.ndarray) -> float:
    """Share of the true neighbours that were found."""
    return float((true_NK[:, :, None] == found_NK[:, None, :]).any(axis=2).mean())


def save_neighbors(path: str) -> None:
    """Write the neighbours found last as .npy."""
    np.save(path, HELD.code_NK)


serve(
    {
        "open_vectors": open_vectors,
        "search_flat": search_flat,
        "search_ivf": search_ivf,
        "calibrate_ivf": calibrate_ivf,
        "save_neighbors": save_neighbors,
    }
)
