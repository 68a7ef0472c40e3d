"""The similarity join beside MLlib's LSH, FAISS, datasketch and a plain matrix product, and beside itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kinfolk.settings import JoinSettings
from kinfolk.similarity.found import Neighbors

from ._join_checks import (
    Found,
    Nearest,
    check_cosines,
    check_jaccards,
    find_nearest,
    read_neighbors,
    read_pairs,
    read_texts,
    read_vectors,
    recall_of_neighbors,
    recall_of_planted,
    recall_of_planted_words,
    recall_of_rows,
    recall_readings,
)
from ._join_costs import COSTS
from ._join_data import glove, planted_documents, planted_vectors, planted_words
from ._join_gold import GOLDS
from ._join_nights import NIGHTS
from ._join_sides import (
    COSINE,
    JACCARD,
    NEIGHBORS,
    THREADS,
    as_found,
    document_settings,
    join_by_mllib_minhash,
    join_by_mllib_projection,
    join_tables,
    join_texts_in_memory,
    join_vectors_in_memory,
    multiply_blocks,
    neighbor_settings,
    open_session,
    pairs_settings,
)
from .harness import Bench, Case, Comparison, Goal, PeerProcess, Reading, WrongResult

MLLIB_ROWS, MLLIB_RECALL = 20_000, 0.99
MLLIB_BUCKET, MLLIB_PROJECTIONS = 0.12, 6
"""Of buckets of .03 to 2, with as many projections as each needs, the fastest on 4,000 rows that reaches the recall."""
MLLIB_HASHES = 2
"""The fewest that reach the recall: a pair is missed with a chance of one less its similarity, to the power of this."""
BLAS_ROWS = 100_000
GLOVE_ROWS, GLOVE_PROBES = 400_000, 2_000
LISTS = (512, 1_024, 2_048)
EXACT_RECALL = 0.9999
"""What exact neighbours have to reach: float32 may tell two of them from each other the other way round."""
THRESHOLD_RECALL = 0.96
SPARK_DOCUMENTS, KERNEL_DOCUMENTS, DATASKETCH_DOCUMENTS = 1_000_000, 200_000, 20_000
DATASKETCH_BANDS = (None, (12, 5), (9, 4))
"""datasketch's own choice, and bands x hashes that miss fewer."""
DOCUMENT_RECALL = 0.99
SCRIPTS = 10

VS_BRP = "join.vs_mllib_brp"
VS_MINHASH = "join.vs_mllib_minhash"
EXACT_VS_BLAS = "join.exact_vs_blas"
VS_IVF = "join.vs_faiss_ivf"
TIME_VS_FLAT = "join.time_vs_faiss_flat"
KERNEL_VS_IVF = "join.kernel_vs_faiss_ivf"
KERNEL_VS_FLAT = "join.kernel_exact_vs_faiss_flat"
THRESHOLD_SHARE = "join.threshold_time_share"
VS_DATASKETCH = "join.vs_datasketch"
KERNEL_VS_DATASKETCH = "join.kernel_vs_datasketch"


def nearest(bench: Bench, folder: Path) -> Path:
    """The true neighbours of some rows of a folder of vectors, as .npz."""

    def make(made: Path) -> None:
        vectors_ND = read_vectors(folder)
        rows = np.random.default_rng(5).permutation(len(vectors_ND))[:GLOVE_PROBES]
        truth = find_nearest(vectors_ND, np.sort(rows), NEIGHBORS)
        np.savez(made / "truth.npz", row_N=truth.row_S, code_NK=truth.code_SK, last_N=truth.last_S)

    return bench.data(f"{folder.name}-nearest-{NEIGHBORS}", make) / "truth.npz"


def load_nearest(path: Path) -> Nearest:
    """Read what `nearest` made."""
    with np.load(path) as known:
        return Nearest(known["row_N"], known["code_NK"], known["last_N"])


def recalls(case: str) -> tuple[Goal, Goal]:
    """Say what both sides found; what is too little fails the case, so that there is no goal."""
    return Goal(f"join.recall.{case}.ours"), Goal(f"join.recall.{case}.peer")


def with_note(reading: Reading, note: str) -> Reading:
    """Add to how a figure came about."""
    return Reading(reading.value, f"{reading.note}; {note}")


def against_projections(bench: Bench) -> Mapping[str, Reading]:
    """Measure the join of vectors from table to table beside MLlib's BucketedRandomProjectionLSH."""
    spark, folder = bench.keep(open_session()), planted_vectors(bench, MLLIB_ROWS)
    settings, out = pairs_settings(MLLIB_RECALL), bench.folder / "out"
    vectors_ND = read_vectors(folder)
    found: dict[str, Reading] = {}

    def verify(ours: Path, peer: Path | None) -> None:
        pairs = [read_pairs(table) for table in (ours / "pairs", peer) if table]
        for side in pairs:
            check_cosines(vectors_ND, side, COSINE)
        found.update(recall_readings("vs_mllib_brp", *planted_recalls(folder, pairs, COSINE), least=MLLIB_RECALL))

    peer = partial(
        join_by_mllib_projection, spark, folder, out / "mllib",
        threshold=COSINE, bucket=MLLIB_BUCKET, tables=MLLIB_PROJECTIONS,
    )  # fmt: skip
    comparison = bench.compare(lambda: join_tables(spark, folder, settings, out), peer, verify=verify)
    return {VS_BRP: comparison.speedup("wall"), **found}


def against_minhash(bench: Bench) -> Mapping[str, Reading]:
    """Measure the join of documents, as sets of words, from table to table beside MLlib's MinHashLSH."""
    spark, folder = bench.keep(open_session()), planted_words(bench, MLLIB_ROWS)
    settings, out = document_settings(MLLIB_RECALL, gram=1), bench.folder / "out"
    texts = read_texts(folder)
    found: dict[str, Reading] = {}

    def verify(ours: Path, peer: Path | None) -> None:
        pairs = [read_pairs(table) for table in (ours / "pairs", peer) if table]
        # The peer's similarities are those of hashed words.
        check_jaccards(texts, pairs[0], JACCARD, gram=1)
        recalls = [recall_of_planted_words(folder, side, texts, JACCARD) for side in pairs]
        found.update(recall_readings("vs_mllib_minhash", *[*recalls, None][:2], least=MLLIB_RECALL))

    peer = partial(join_by_mllib_minhash, spark, folder, out / "mllib", threshold=JACCARD, tables=MLLIB_HASHES)
    comparison = bench.compare(lambda: join_tables(spark, folder, settings, out), peer, verify=verify)
    return {VS_MINHASH: comparison.speedup("wall"), **found}


def planted_recalls(folder: Path, pairs: list[Found], threshold: float) -> tuple[float, float]:
    """How many of the planted pairs the two sides found."""
    ours, peer = (recall_of_planted(folder, side, threshold) for side in pairs)
    return ours, peer


def exact_against_blas(bench: Bench) -> Mapping[str, Reading]:
    """Measure the exact join in memory beside a plain product of blocks, one thread each."""
    vectors_ND = read_vectors(planted_vectors(bench, BLAS_ROWS))
    settings = pairs_settings()

    def verify(ours: Found, peer: Found | None) -> None:
        assert peer is not None
        check_cosines(vectors_ND, ours, COSINE)
        if not np.array_equal(np.sort(ours.keys()), np.sort(peer.keys())):
            raise WrongResult(f"{len(ours.left_P)} pairs were found, and {len(peer.left_P)} others by the peer")

    def join() -> Found:
        return as_found(join_vectors_in_memory(vectors_ND, settings, threads=1)[0])

    comparison = bench.compare(join, lambda: multiply_blocks(vectors_ND, COSINE), verify=verify, rounds=3)
    return {EXACT_VS_BLAS: comparison.speedup("wall")}


def open_faiss(bench: Bench, folder: Path, threads: int) -> PeerProcess:
    """Give FAISS the vectors; each number of threads has a process of its own."""
    faiss = bench.peer("faiss_join", environment="join", name=f"faiss_join_{threads}")
    faiss.call("open_vectors", {"folder": str(folder / "items"), "threads": threads})
    return faiss


def calibrate(bench: Bench, faiss: PeerProcess, folder: Path, recall: float) -> dict[str, int]:
    """Let FAISS choose its lists, and as few probes as reach the recall."""
    arguments = {"choices": LISTS, "neighbors": NEIGHBORS, "recall": recall, "truth": str(nearest(bench, folder))}
    bench.note(f"looking for FAISS's fastest lists and probes at recall {recall}")
    best = faiss.call("calibrate_ivf", arguments)
    return {"lists": best["lists"], "probes": best["probes"], "neighbors": NEIGHBORS}


class NeighborCheck:
    """Verifies neighbours that both sides found against those of some rows, and keeps the recalls."""

    def __init__(self, bench: Bench, folder: Path, faiss: PeerProcess) -> None:
        self._vectors_ND, self._truth = read_vectors(folder), load_nearest(nearest(bench, folder))
        self._faiss, self._file = faiss, bench.folder / "neighbors.npy"
        self.ours = self.peer = 0.0

    def verify(self, code_NK: NDArray[np.int64]) -> None:
        """Measure the recall of ours, and of what FAISS found last."""
        self._faiss.call("save_neighbors", {"path": str(self._file)})
        self.ours, self.peer = (
            recall_of_neighbors(self._vectors_ND, self._truth, codes) for codes in (code_NK, np.load(self._file))
        )


def tables_against_faiss(bench: Bench) -> Mapping[str, Reading]:
    """Measure neighbours from Parquet to Delta beside FAISS in memory on as many threads as Spark has."""
    spark, folder = bench.keep(open_session()), glove(bench, GLOVE_ROWS)
    settings, out = neighbor_settings(0.95), bench.folder / "out"
    faiss = open_faiss(bench, folder, THREADS)
    best = calibrate(bench, faiss, folder, 0.95)
    check = NeighborCheck(bench, folder, faiss)
    found: dict[str, Reading] = {}

    def verify(ours: Path, _: int | None, *, case: str) -> None:
        check.verify(read_neighbors(ours / "neighbors", GLOVE_ROWS, NEIGHBORS))
        found.update(recall_readings(case, check.ours, check.peer, least=0.95))

    def join() -> Path:
        return join_tables(spark, folder, settings, out)

    ivf = bench.compare(join, lambda: faiss.call("search_ivf", best), verify=partial(verify, case="vs_faiss_ivf"))
    flat = bench.compare(
        join,
        lambda: faiss.call("search_flat", {"neighbors": NEIGHBORS}),
        verify=partial(verify, case="time_vs_faiss_flat"),
        rounds=2,
    )
    return {VS_IVF: with_note(ivf.speedup("wall"), name_choice(best)), TIME_VS_FLAT: flat.time_ratio("wall"), **found}


def name_choice(best: Mapping[str, int]) -> str:
    """Say what FAISS chose."""
    return f"{best['lists']} lists, {best['probes']} probes"


def kernel_against_ivf(bench: Bench, *, recall: float) -> Mapping[str, Reading]:
    """Measure neighbours in memory beside FAISS's IVF, training and adding included, one thread each."""
    folder = glove(bench, GLOVE_ROWS)
    faiss = open_faiss(bench, folder, 1)
    best = calibrate(bench, faiss, folder, recall)
    comparison, check = compare_kernels(
        bench, folder, neighbor_settings(recall), faiss, lambda: faiss.call("search_ivf", best)
    )
    case = f"kernel_vs_faiss_ivf.{recall}"
    reading = with_note(comparison.speedup("wall"), name_choice(best))
    return {f"{KERNEL_VS_IVF}.{recall}": reading, **recall_readings(case, check.ours, check.peer, least=recall)}


def kernel_against_flat(bench: Bench) -> Mapping[str, Reading]:
    """Measure exact neighbours in memory beside FAISS's flat index, one thread each."""
    folder = glove(bench, GLOVE_ROWS)
    faiss = open_faiss(bench, folder, 1)
    comparison, check = compare_kernels(
        bench, folder, neighbor_settings(1.0), faiss, lambda: faiss.call("search_flat", {"neighbors": NEIGHBORS})
    )
    found = recall_readings("kernel_exact_vs_faiss_flat", check.ours, check.peer, least=EXACT_RECALL)
    return {KERNEL_VS_FLAT: comparison.speedup("wall"), **found}


def compare_kernels(
    bench: Bench, folder: Path, settings: JoinSettings, faiss: PeerProcess, peer: Callable[[], int]
) -> tuple[Comparison, NeighborCheck]:
    """Compare neighbours in memory on one thread with a call of FAISS."""
    vectors_ND = read_vectors(folder)
    check = NeighborCheck(bench, folder, faiss)

    def verify(ours: Neighbors, _: int | None) -> None:
        if not np.array_equal(ours.row_N, np.arange(len(vectors_ND))):
            raise WrongResult(f"neighbours came of {len(ours.row_N)} rows, not of all {len(vectors_ND)} in their order")
        check.verify(ours.code_NK)

    def join() -> Neighbors:
        return join_vectors_in_memory(vectors_ND, settings, threads=1)[1]

    return bench.compare(join, peer, verify=verify, rounds=3), check


def threshold_share(bench: Bench) -> Mapping[str, Reading]:
    """Measure a join at a recall beside the exact one, both in memory."""
    vectors_ND = read_vectors(glove(bench, GLOVE_ROWS))
    found: dict[str, Reading] = {}

    def join(settings: JoinSettings) -> Found:
        return as_found(join_vectors_in_memory(vectors_ND, settings, threads=THREADS)[0])

    def verify(ours: Found, exact: Found | None) -> None:
        assert exact is not None
        for side in (ours, exact):
            check_cosines(vectors_ND, side, COSINE)
        recall = recall_of_rows(exact, ours, len(vectors_ND))
        found.update(recall_readings("threshold_time_share", recall, None, least=THRESHOLD_RECALL))

    comparison = bench.compare(
        lambda: join(pairs_settings(THRESHOLD_RECALL)),
        lambda: join(pairs_settings()),
        verify=verify,
        rounds=3,
    )
    return {THRESHOLD_SHARE: comparison.time_ratio("wall"), **found}


def open_datasketch(bench: Bench, scripts: int) -> tuple[PeerProcess, dict[str, Any], float]:
    """Give datasketch documents; return it with the fastest of its choices that reaches the recall, and that recall."""
    folder = planted_documents(bench, DATASKETCH_DOCUMENTS, scripts)
    peer = bench.peer("datasketch_join", environment="join")
    peer.call("open_texts", {"folder": str(folder / "items"), "rows": DATASKETCH_DOCUMENTS})
    reached = []
    for bands in DATASKETCH_BANDS:
        arguments = {"threshold": JACCARD, "bands": bands}
        bench.note(f"trying datasketch with bands {bands or 'of its own choice'}")
        began = time.perf_counter()
        peer.call("join_texts", arguments)
        seconds = time.perf_counter() - began
        left_P, right_P = np.array(peer.call("found_pairs", {})).reshape(-1, 2).T
        recall = recall_of_planted(folder, Found(left_P, right_P, np.full(len(left_P), JACCARD)), JACCARD)
        if recall >= DOCUMENT_RECALL:
            reached.append((seconds, recall, arguments))
    if not reached:
        raise WrongResult(f"datasketch reached the recall of {DOCUMENT_RECALL} with none of {DATASKETCH_BANDS}")
    _, recall, arguments = min(reached, key=lambda tried: tried[0])
    return peer, arguments, recall


def tables_against_datasketch(bench: Bench) -> Mapping[str, Reading]:
    """Measure documents per CPU second from table to table, JVM and workers included, beside datasketch in memory."""
    spark, folder = bench.keep(open_session()), planted_documents(bench, SPARK_DOCUMENTS)
    datasketch, arguments, peer_recall = open_datasketch(bench, 1)
    settings, out = document_settings(DOCUMENT_RECALL), bench.folder / "out"
    found: dict[str, Reading] = {}

    def verify(ours: Path, _: int | None) -> None:
        pairs = read_pairs(ours / "pairs")
        check_jaccards(read_texts(folder), pairs, JACCARD)
        recall = recall_of_planted(folder, pairs, JACCARD)
        found.update(recall_readings("vs_datasketch", recall, peer_recall, least=DOCUMENT_RECALL))

    comparison = bench.compare(
        lambda: join_tables(spark, folder, settings, out),
        lambda: datasketch.call("join_texts", arguments),
        verify=verify,
        rounds=3,
    )
    reading = comparison.speedup("cpu", work=SPARK_DOCUMENTS / DATASKETCH_DOCUMENTS)
    return {VS_DATASKETCH: with_note(reading, name_work(SPARK_DOCUMENTS, arguments)), **found}


def name_work(documents: int, arguments: Mapping[str, Any]) -> str:
    """Say how many documents both sides joined, and what datasketch chose."""
    return f"{documents:,} documents, the peer {DATASKETCH_DOCUMENTS:,} with bands {arguments['bands'] or 'by default'}"


def kernel_against_datasketch(bench: Bench, *, key: str, scripts: int) -> Mapping[str, Reading]:
    """Measure documents per second from strings in memory to pairs, one thread each."""
    folder = planted_documents(bench, KERNEL_DOCUMENTS, scripts)
    datasketch, arguments, peer_recall = open_datasketch(bench, scripts)
    texts: pa.StringArray = read_texts(folder)
    settings = document_settings(DOCUMENT_RECALL)
    found: dict[str, Reading] = {}

    def verify(ours: Found, _: int | None) -> None:
        check_jaccards(texts, ours, JACCARD)
        recall = recall_of_planted(folder, ours, JACCARD)
        case = key.removeprefix("join.")
        found.update(recall_readings(case, recall, peer_recall, least=DOCUMENT_RECALL))

    comparison = bench.compare(
        lambda: as_found(join_texts_in_memory(texts, settings, threads=1)),
        lambda: datasketch.call("join_texts", arguments),
        verify=verify,
    )
    reading = comparison.speedup("wall", work=KERNEL_DOCUMENTS / DATASKETCH_DOCUMENTS)
    return {key: with_note(reading, name_work(KERNEL_DOCUMENTS, arguments)), **found}


CASES = [
    Case(
        (Goal(VS_BRP, 50.0), *recalls("vs_mllib_brp")),
        "MLlib's BucketedRandomProjectionLSH",
        against_projections,
        seconds=200,
    ),
    Case((Goal(VS_MINHASH, 20.0), *recalls("vs_mllib_minhash")), "MLlib's MinHashLSH", against_minhash, seconds=200),
    Case((Goal(EXACT_VS_BLAS, 0.6),), "a plain product of blocks, 1 thread", exact_against_blas, seconds=90),
    Case(
        (
            Goal(VS_IVF, 4.0),
            Goal(TIME_VS_FLAT, 0.12, better="lower"),
            *recalls("vs_faiss_ivf"),
            *recalls("time_vs_faiss_flat"),
        ),
        "FAISS in memory, 2 threads",
        tables_against_faiss,
        seconds=600,
    ),
    *(
        Case(
            (Goal(f"{KERNEL_VS_IVF}.{recall}", 10.0), *recalls(f"kernel_vs_faiss_ivf.{recall}")),
            "FAISS's IVF, 1 thread",
            partial(kernel_against_ivf, recall=recall),
            seconds=300,
        )
        for recall in (0.95, 0.98)
    ),
    Case(
        (Goal(KERNEL_VS_FLAT, 2.0), *recalls("kernel_exact_vs_faiss_flat")),
        "FAISS's flat index, 1 thread",
        kernel_against_flat,
        seconds=300,
    ),
    Case(
        (Goal(THRESHOLD_SHARE, 0.1, better="lower"), recalls("threshold_time_share")[0]),
        "the exact join",
        threshold_share,
        seconds=200,
    ),
    Case(
        (Goal(VS_DATASKETCH, 20.0), *recalls("vs_datasketch")),
        "datasketch, per CPU second",
        tables_against_datasketch,
        seconds=200,
    ),
    *(
        Case(
            (Goal(key, goal), *recalls(key.removeprefix("join."))),
            "datasketch, 1 thread",
            partial(kernel_against_datasketch, key=key, scripts=scripts),
            seconds=120,
        )
        for key, goal, scripts in (
            (KERNEL_VS_DATASKETCH, 60.0, 1),
            (f"{KERNEL_VS_DATASKETCH}.unicode", 40.0, SCRIPTS),
        )
    ),
    *COSTS,
    *NIGHTS,
    *GOLDS,
]
