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
    keys_of,
    positions,
    read_pairs,
    recall_of_planted,
    recall_readings,
    require_pairs,
)
from ._join_data import (
    Documents,
    glove,
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
    document_settings,
    fresh_copy,
    join_tables,
    neighbor_settings,
    open_session,
    pairs_settings,
    run_join_job,
    write_embeddings,
)
from .harness import Bench, Case, Goal, Reading, WrongResult
from .harness.measuring import measure

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RECALL = 0.95
SMALL_ROWS = 1_000
FIXED_RUNS, GROWTH_RUNS = 5, 3
GLOVE_SIZES = (100_000, 200_000, 400_000)
PLANTED_SIZES = (200_000, 400_000, 800_000)
SKEW_ROWS, HOT_SHARE = 200_000, 0.2
COPIES = 100_000
"""Copies of one item, beside as many items that differ."""
INTERVAL_ROWS, INTERVAL_PROBES, DRAWS = 50_000, 2_000, 1_000
TRUE_RECALLS, TOGETHERNESS = (0.8, 0.9, 0.95, 0.99, 1.0), (0.0, 0.3, 1.0)

FIXED = "join.fixed_seconds"
GROWTH, GROWTH_SECONDS = "join.growth_on_doubling", "join.growth_seconds"
COVERAGE, WIDTH = "join.recall_interval_coverage", "join.recall_interval_width"
SKEW = "join.skew_cost"
COPIES_COST = "join.copies_cost"

Data = Callable[[Bench, int], Path]


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
    note = f"beyond the fixed {fixed:.2f} s"
    taken = {f"{GROWTH_SECONDS}.{kind}.{rows}": Reading(s, note) for rows, s in zip(sizes, seconds, strict=True)}
    return {
        f"{GROWTH}.{kind}": Reading(max(factors), f"the worst of {', '.join(f'{f:.2f}' for f in factors)}"),
        **taken,
    }


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


def recall_interval(bench: Bench) -> Mapping[str, Reading]:
    """Draw probes again and again from joins whose recall is known, and see how often the interval holds it.

    Of each true recall three joins are simulated, whose rows scatter as if each neighbour were found for itself, as if
    those of one row were found or missed mostly together, and as if altogether.
    """
    covered, widths = {}, {}
    for recall in TRUE_RECALLS:
        for togetherness in TOGETHERNESS:
            hits_N = simulate_hits(recall, togetherness)
            case = f"recall {recall}, togetherness {togetherness}"
            covered[case], widths[case] = draw_intervals(hits_N, np.full(len(hits_N), NEIGHBORS))
            bench.note(f"{case}: {covered[case]:.3f} of the intervals hold it; they are {widths[case]:.4f} wide")
    drawn = f"{DRAWS:,} draws of {INTERVAL_PROBES:,} of {INTERVAL_ROWS:,} rows"
    least, widest = min(covered, key=covered.__getitem__), max(widths, key=widths.__getitem__)
    return {
        COVERAGE: Reading(covered[least], f"the worst, at {least}; {drawn}"),
        WIDTH: Reading(widths[widest], f"the worst, at {widest}; {drawn}"),
    }


def simulate_hits(recall: float, togetherness: float) -> NDArray[np.int64]:
    """Neighbours found of each row, by the beta-binomial law; togetherness is the correlation within a row, 0 to 1."""
    random = np.random.default_rng([9, round(100 * recall), round(100 * togetherness)])
    share_N = np.full(INTERVAL_ROWS, recall)
    if togetherness == 1:
        share_N = (random.random(INTERVAL_ROWS) < recall).astype(float)
    elif togetherness and recall < 1:
        weight = 1 / togetherness - 1
        share_N = random.beta(recall * weight, (1 - recall) * weight, INTERVAL_ROWS)
    return random.binomial(NEIGHBORS, share_N)


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
            (
                Goal(f"{GROWTH}.{kind}", goal, better="lower"),
                *(Goal(f"{GROWTH_SECONDS}.{kind}.{rows}", better="lower", unit="s") for rows in sizes),
            ),
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
