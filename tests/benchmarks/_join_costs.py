"""Cases in which the similarity join is its own peer: what growth, skew, copies, changes and the job itself cost.

Shape suffixes: N items, D coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kinfolk.settings import JoinSettings
from kinfolk.similarity.recall import estimate_recall
from kinfolk.tables.catalog import SIMILAR_PAIRS
from kinfolk.tables.lake import Lake

from ._join_checks import (
    Found,
    check_cosines,
    keys_of,
    positions,
    read_pairs,
    read_vectors,
    recall_of_planted,
    recall_readings,
    require_pairs,
)
from ._join_data import (
    Documents,
    glove,
    lean,
    plant_documents,
    plant_vectors,
    planted_documents,
    planted_vectors,
    write_documents,
    write_vectors,
)
from ._join_sides import (
    COSINE,
    NEIGHBORS,
    THREADS,
    as_found,
    document_settings,
    fresh_copy,
    join_tables,
    join_vectors_in_memory,
    neighbor_settings,
    open_session,
    pairs_settings,
    run_join_job,
    write_embeddings,
)
from .harness import Bench, Case, Comparison, Goal, Reading, WrongResult
from .harness.measuring import measure

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RECALL = 0.95
SMALL_ROWS = 1_000
FIXED_RUNS, GROWTH_RUNS, CHANGE_RUNS = 5, 3, 3
GLOVE_SIZES = (100_000, 200_000, 400_000)
PLANTED_SIZES = (200_000, 400_000, 800_000)
CHANGED_TABLE_ROWS, CHANGED_ROWS = 200_000, 1_000
SKEW_ROWS, HOT_SHARE = 200_000, 0.2
COPIES = 100_000
"""Copies of one item, beside as many items that differ."""
INTERVAL_ROWS, INTERVAL_PROBES, DRAWS = 50_000, 2_000, 1_000
INTERVAL_COSINE = 0.7
"""Low enough that most words have a partner."""

FIXED = "join.fixed_seconds"
GROWTH = "join.growth_on_doubling"
INCREMENTAL = "join.incremental_share"
COVERAGE, WIDTH = "join.recall_interval_coverage", "join.recall_interval_width"
SKEW = "join.skew_cost"
COPIES_COST = "join.copies_cost"

Data = Callable[[Bench, int], Path]
Hits = tuple[NDArray[np.int64], NDArray[np.int64]]


def measure_seconds(bench: Bench, run: Callable[[], object], runs: int) -> list[float]:
    """Seconds by the wall's clock of so many runs, after one that warms up."""
    run()
    seconds = [measure(run)[1].wall for _ in range(runs)]
    bench.note(f"{median(seconds):.2f} s, median of {runs}")
    return seconds


def fixed_seconds(bench: Bench) -> Mapping[str, Reading]:
    """Measure the join job on a table that takes no time: checks, records and the writing of all its tables."""
    spark = bench.keep(open_session())
    vectors_ND, planted = plant_vectors(SMALL_ROWS, pairs=SMALL_ROWS // 2)

    def make(folder: Path) -> None:
        write_embeddings(folder, vectors_ND, np.arange(SMALL_ROWS))

    given, lake = bench.data(f"lake-{SMALL_ROWS}", make), bench.folder / "lake"
    settings = JoinSettings(threshold=COSINE, neighbors=NEIGHBORS)
    seconds = []
    for _ in range(FIXED_RUNS + 1):
        fresh_copy(given, lake)
        seconds.append(measure(lambda: run_join_job(spark, lake, settings))[1].wall)
        found = read_job_pairs(lake)
        if not np.array_equal(np.sort(found.keys()), np.sort(keys_of(planted.left_P, planted.right_P))):
            raise WrongResult(f"{len(found.left_P)} pairs were found; {len(planted.left_P)} are planted")
    # The first run warms up.
    counted = seconds[1:]
    note = f"{min(counted):.2f}-{max(counted):.2f} s, {FIXED_RUNS} runs in a session that stands"
    return {FIXED: Reading(median(counted), note)}


def read_job_pairs(lake: Path) -> Found:
    """The pairs in a lake."""
    rows = Lake(str(lake)).read(SIMILAR_PAIRS)
    left_P, right_P = positions(rows["left_id"]), positions(rows["right_id"])
    return require_pairs(Found(left_P, right_P, rows["similarity"].to_numpy()))


def growth(
    bench: Bench, *, kind: str, sizes: Sequence[int], data: Data, settings: JoinSettings
) -> Mapping[str, Reading]:
    """Measure from table to table how the time grows as rows double, what a small table takes taken off."""
    spark = bench.keep(open_session())
    fixed = median(time_tables(bench, spark, data(bench, SMALL_ROWS), settings, GROWTH_RUNS))
    folders = [data(bench, rows) for rows in sizes]
    seconds = [median(time_tables(bench, spark, folder, settings, GROWTH_RUNS)) - fixed for folder in folders]
    if min(seconds) <= 0:
        raise WrongResult(f"seconds beyond the fixed {fixed:.2f} are {seconds}: too few rows to tell")
    factors = [after / before for before, after in pairwise(seconds)]
    note = ", ".join(f"{rows:,} rows {taken:.2f} s" for rows, taken in zip(sizes, seconds, strict=True))
    return {f"{GROWTH}.{kind}": Reading(max(factors), f"beyond the fixed {fixed:.2f} s: {note}")}


def time_tables(bench: Bench, spark: SparkSession, folder: Path, settings: JoinSettings, runs: int) -> list[float]:
    """Seconds of joins from table to table; verifies planted pairs where they are asked for."""
    out = bench.folder / "out"
    seconds = measure_seconds(bench, lambda: join_tables(spark, folder, settings, out), runs)
    require_planted(folder, out, settings)
    return seconds


def require_planted(folder: Path, out: Path, settings: JoinSettings) -> None:
    """Raise WrongResult where fewer of the planted pairs were found than the settings ask for."""
    if settings.threshold is not None:
        recall = recall_of_planted(folder, read_pairs(out / "pairs"), settings.threshold)
        recall_readings(folder.name, recall, None, least=settings.recall)


def incremental_share(bench: Bench) -> Mapping[str, Reading]:
    """Measure the job after 1.5% of the items changed, beside its first run: some go, some come, some turn away."""
    spark = bench.keep(open_session())
    before_ND, planted = plant_vectors(CHANGED_TABLE_ROWS, pairs=CHANGED_TABLE_ROWS // 2)
    after_ND, kept_N = change_vectors(before_ND)

    def make(folder: Path) -> None:
        write_embeddings(folder, before_ND, np.arange(len(before_ND)))

    given, lake = bench.data(f"lake-{CHANGED_TABLE_ROWS}", make), bench.folder / "lake"
    settings = JoinSettings(threshold=COSINE, neighbors=NEIGHBORS, recall=RECALL)
    first, later = [], []
    for _ in range(CHANGE_RUNS):
        fresh_copy(given, lake)
        first.append(measure(lambda: run_join_job(spark, lake, settings))[1])
        write_embeddings(lake, after_ND[kept_N], kept_N)
        later.append(measure(lambda: run_join_job(spark, lake, settings))[1])
        bench.note(f"first {first[-1].wall:.2f} s, after the changes {later[-1].wall:.2f} s")
    found = read_job_pairs(lake)
    check_cosines(after_ND, found, COSINE)
    is_gone = ~(np.isin(found.left_P, kept_N) & np.isin(found.right_P, kept_N))
    if is_gone.any():
        raise WrongResult(f"{int(is_gone.sum())} pairs are of items that are gone")
    untouched = (planted.left_P >= CHANGED_ROWS) & np.isin(planted.right_P, kept_N)
    expected = np.concatenate([
        keys_of(planted.left_P[untouched], planted.right_P[untouched]),
        keys_of(np.arange(CHANGED_ROWS), len(before_ND) + np.arange(CHANGED_ROWS)),
    ])  # fmt: skip
    recall = float(np.isin(expected, found.keys()).mean())
    recalls = recall_readings("incremental_share", recall, None, least=RECALL)
    return {INCREMENTAL: Comparison(tuple(later), tuple(first)).time_ratio("wall"), **recalls}


def change_vectors(before_ND: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Turn the first items elsewhere, give each a new one as a partner, and drop the last; say who is left."""
    random = np.random.default_rng(6)
    size = before_ND.shape[1]
    drawn = random.standard_normal((2, CHANGED_ROWS, size))
    turned, others = drawn / np.linalg.norm(drawn, axis=2, keepdims=True)
    partners = lean(others, turned, 0.9)
    after_ND = np.concatenate([turned, before_ND[CHANGED_ROWS:], partners]).astype(np.float32)
    kept_N = np.delete(np.arange(len(after_ND)), np.s_[len(before_ND) - CHANGED_ROWS : len(before_ND)])
    return after_ND, kept_N


def recall_interval(bench: Bench) -> Mapping[str, Reading]:
    """Draw probes again and again from a join whose recall is known, and see how often the interval holds it."""
    vectors_ND = read_vectors(glove(bench, INTERVAL_ROWS))
    covered, widths = [], []
    for hits_N, truths_N in (neighbor_hits(vectors_ND), *pair_hits(vectors_ND)):
        share, width = draw_intervals(hits_N, truths_N)
        covered.append(share)
        widths.append(width)
        bench.note(f"{share:.3f} of the intervals hold the recall; they are {width:.4f} wide")
    drawn = f"{DRAWS:,} draws of {INTERVAL_PROBES:,} of {INTERVAL_ROWS:,} rows"
    note = f"the worst of neighbours, pairs, and pairs left out at random; {drawn}"
    return {COVERAGE: Reading(min(covered), note), WIDTH: Reading(max(widths), note)}


def neighbor_hits(vectors_ND: NDArray[np.float32]) -> Hits:
    """Of each row, how many of its true neighbours a join found, and how many there are."""
    codes = [
        join_vectors_in_memory(vectors_ND, neighbor_settings(recall), threads=THREADS)[1].code_NK
        for recall in (RECALL, 1.0)
    ]
    hits_N = (codes[0][:, :, None] == codes[1][:, None, :]).any(axis=2).sum(axis=1)
    return hits_N, np.full(len(hits_N), NEIGHBORS)


def pair_hits(vectors_ND: NDArray[np.float32]) -> tuple[Hits, Hits]:
    """Of each row, how many of its true partners were found, and how many there are.

    First by a join, and then as if each pair were missed with the chance that the recall leaves: a join may miss fewer.
    """
    some, exact = (
        as_found(
            join_vectors_in_memory(vectors_ND, pairs_settings(recall, threshold=INTERVAL_COSINE), threads=THREADS)[0]
        )
        for recall in (RECALL, 1.0)
    )
    ends = np.concatenate([exact.left_P, exact.right_P])
    truths_N = np.bincount(ends, minlength=len(vectors_ND))

    def hits_of(is_found_P: NDArray[np.bool_]) -> Hits:
        return np.bincount(ends[np.tile(is_found_P, 2)], minlength=len(vectors_ND)), truths_N

    is_drawn_P = np.random.default_rng(8).random(len(exact.left_P)) < RECALL
    return hits_of(np.isin(exact.keys(), some.keys())), hits_of(is_drawn_P)


def draw_intervals(hits_N: NDArray[np.int64], truths_N: NDArray[np.int64]) -> tuple[float, float]:
    """Share of the intervals from probes drawn at random that hold the true recall, and how wide they are on average.

    The truth is the share averaged over rows that have any partner.
    """
    has_any = truths_N > 0
    truth = float((hits_N[has_any] / truths_N[has_any]).mean())
    random = np.random.default_rng(7)
    held, widths = [], []
    for _ in range(DRAWS):
        drawn = random.choice(len(hits_N), min(len(hits_N), INTERVAL_PROBES), replace=False)
        estimate = estimate_recall(hits_N[drawn], truths_N[drawn], population=len(hits_N))
        held.append(estimate.low <= truth <= estimate.high)
        widths.append(estimate.high - estimate.low)
    return float(np.mean(held)), float(np.mean(widths))


def skewed_vectors(bench: Bench, rows: int) -> Path:
    """`planted_vectors` of which a share lies close together, below the threshold."""

    def make(folder: Path) -> None:
        write_vectors(folder, *plant_vectors(rows, pairs=rows // 2, hot_share=HOT_SHARE))

    return bench.data(f"vectors-{rows}-hot-{HOT_SHARE}", make)


def skewed_documents(bench: Bench, rows: int) -> Path:
    """`planted_documents` of which a share has boilerplate in common, below the threshold."""

    def make(folder: Path) -> None:
        write_documents(folder, *plant_documents(rows, pairs=rows // 8, hot_share=HOT_SHARE))

    return bench.data(f"documents-{rows}-hot-{HOT_SHARE}", make)


def copied_vectors(bench: Bench, rows: int) -> Path:
    """`planted_vectors`, and as many copies of the first as COPIES says."""

    def make(folder: Path) -> None:
        vectors_ND, truth = plant_vectors(rows, pairs=rows // 2)
        write_vectors(folder, vectors_ND[with_copies(rows)], truth)

    return bench.data(f"vectors-{rows}-copies-{COPIES}", make)


def copied_documents(bench: Bench, rows: int) -> Path:
    """`planted_documents`, and as many copies of the first as COPIES says."""

    def make(folder: Path) -> None:
        documents, truth = plant_documents(rows, pairs=rows // 8)
        order = with_copies(rows)
        write_documents(folder, Documents(documents.words_NW[order], documents.script_N[order]), truth)

    return bench.data(f"documents-{rows}-copies-{COPIES}", make)


def with_copies(rows: int) -> NDArray[np.int64]:
    """All rows, and the first again and again."""
    return np.concatenate([np.arange(rows), np.zeros(COPIES, np.int64)])


def worst_ratio(
    bench: Bench, key: str, rows: int, kinds: Sequence[tuple[Data, Data, JoinSettings]]
) -> Mapping[str, Reading]:
    """Measure tables that are hard beside their plain counterparts; the worst of them makes the figure."""
    spark, out = bench.keep(open_session()), bench.folder / "out"
    readings = []
    for hard, plain, settings in kinds:
        folders = [data(bench, rows) for data in (hard, plain)]

        def verify(ours: Path, peer: Path | None, folders: list[Path] = folders, s: JoinSettings = settings) -> None:
            assert peer is not None
            for folder, written in zip(folders, (ours, peer), strict=True):
                require_planted(folder, written, s)

        hard_join, plain_join = (
            partial(join_tables, spark, folder, settings, out / name)
            for folder, name in zip(folders, ("hard", "plain"), strict=True)
        )
        comparison = bench.compare(hard_join, plain_join, verify=verify, rounds=3)
        readings.append(comparison.time_ratio("wall"))
    return {key: max(readings, key=lambda reading: reading.value)}


VECTOR_PAIRS, DOCUMENT_PAIRS = pairs_settings(RECALL), document_settings(RECALL)
COSTS = [
    Case((Goal(FIXED, 8.0, better="lower", unit="s"),), "nothing: seconds", fixed_seconds, seconds=60),
    *(
        Case(
            (Goal(f"{GROWTH}.{kind}", goal, better="lower"),),
            "half the rows",
            partial(growth, kind=kind, sizes=sizes, data=data, settings=settings),
            seconds=200,
        )
        for kind, goal, sizes, data, settings in (
            ("knn", 2.6, GLOVE_SIZES, glove, neighbor_settings(RECALL)),
            ("vectors", 2.5, PLANTED_SIZES, planted_vectors, VECTOR_PAIRS),
            ("sets", 2.3, PLANTED_SIZES, planted_documents, DOCUMENT_PAIRS),
        )
    ),
    Case(
        (Goal(INCREMENTAL, 0.1, better="lower"), Goal("join.recall.incremental_share.ours")),
        "the first run of the job",
        incremental_share,
        seconds=200,
    ),
    Case(
        (Goal(COVERAGE, 0.93), Goal(WIDTH, 0.04, better="lower")),
        "the recall over all rows",
        recall_interval,
        seconds=60,
    ),
    Case(
        (Goal(SKEW, 2.0, better="lower"),),
        "as many rows without skew",
        partial(
            worst_ratio,
            key=SKEW,
            rows=SKEW_ROWS,
            kinds=(
                (skewed_vectors, planted_vectors, VECTOR_PAIRS),
                (skewed_documents, planted_documents, DOCUMENT_PAIRS),
            ),
        ),
        seconds=200,
    ),
    Case(
        (Goal(COPIES_COST, 1.5, better="lower"),),
        "the items without the copies",
        partial(
            worst_ratio,
            key=COPIES_COST,
            rows=COPIES,
            kinds=(
                (copied_vectors, planted_vectors, VECTOR_PAIRS),
                (copied_documents, planted_documents, DOCUMENT_PAIRS),
            ),
        ),
        seconds=120,
    ),
]
