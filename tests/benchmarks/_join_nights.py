"""What a night costs in which few items changed, beside a join of everything."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from kinfolk.settings import JoinSettings

from ._join_checks import read_pairs, read_table
from ._join_data import read_words, write_vectors
from ._join_sides import NEIGHBORS, join_first_night, join_tables, open_session, pairs_settings
from .harness import Bench, Case, Comparison, Goal, Reading, WrongResult

ROWS, SMALL_ROWS = 400_000, 1_000
CHANGED_SHARE = 0.01
"""A third of them come, a third are altered, a third go."""
ROUNDS = 3

INCREMENTAL = "join.incremental_share"
INCREMENTAL_NEIGHBORS = "join.incremental_share.neighbors"


def incremental_share(bench: Bench, *, key: str, settings: JoinSettings) -> Mapping[str, Reading]:
    """Measure a night from tables to tables beside an exact join of everything, what a small table takes taken off."""
    night, whole = (compare_nights(bench, rows, settings) for rows in (SMALL_ROWS, ROWS))
    ours, peer = (wall(whole, side) - wall(night, side) for side in ("ours", "peer"))
    note = f"a night {wall(whole, 'ours'):.2f} s, everything {wall(whole, 'peer'):.2f} s, before"
    return {
        key: Reading(ours / peer, f"{note} {wall(night, 'ours'):.2f} and {wall(night, 'peer'):.2f} s are taken off")
    }


def wall(comparison: Comparison, side: str) -> float:
    """Seconds of a side, by the wall's clock."""
    return median(cost.wall for cost in getattr(comparison, side))


def compare_nights(bench: Bench, rows: int, settings: JoinSettings) -> Comparison:
    """Compare the join of what changed with that of everything; both have to find the same."""
    spark = bench.keep(open_session())
    before, after = night_vectors(bench, rows)
    out = bench.folder / f"out-{rows}-{settings.neighbors}"
    bench.note(f"joining the {rows:,} rows of the night before")
    state = join_first_night(spark, before, settings, out / "state")

    def verify(ours: Path, peer: Path | None) -> None:
        assert peer is not None
        require_same(ours, peer, settings)

    return bench.compare(
        partial(join_tables, spark, after, settings, out / "night", previous=state),
        partial(join_tables, spark, after, settings, out / "whole"),
        verify=verify,
        rounds=ROUNDS,
    )


def require_same(ours: Path, peer: Path, settings: JoinSettings) -> None:
    """Raise WrongResult unless two joins wrote the same rows."""
    if settings.threshold is not None:
        pairs = [read_pairs(folder / "pairs") for folder in (ours, peer)]
        found = [np.sort(side.keys()) for side in pairs]
        if not np.array_equal(*found):
            raise WrongResult(f"the night has {len(found[0]):,} pairs, other ones than the {len(found[1]):,} of all")
    if settings.neighbors:
        order = [("item_id", "ascending"), ("rank", "ascending")]
        lists = [read_table(folder / "neighbors").sort_by(order) for folder in (ours, peer)]
        if not lists[0].equals(lists[1].select(lists[0].column_names)):
            raise WrongResult("the neighbours of the night are not those of all")


def night_vectors(bench: Bench, rows: int) -> tuple[Path, Path]:
    """Vectors of words before and after a night."""

    def make(folder: Path, *, is_after: bool) -> None:
        vectors_ND, positions_N = change_words(read_words(rows), is_after=is_after)
        write_vectors(folder, vectors_ND, positions_N=positions_N)

    before = bench.data(f"night-{rows}-before", partial(make, is_after=False))
    return before, bench.data(f"night-{rows}-after", partial(make, is_after=True))


def change_words(words_ND: NDArray[np.float32], *, is_after: bool) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The words of one of two nights, and their positions."""
    third = max(1, round(len(words_ND) * CHANGED_SHARE / 3))
    random = np.random.default_rng(11)
    come, altered, gone = random.permutation(len(words_ND))[: 3 * third].reshape(3, third)
    vectors_ND = words_ND.copy()
    if is_after:
        noise_ND = random.standard_normal((third, words_ND.shape[1])).astype(np.float32)
        scale = np.linalg.norm(words_ND[altered], axis=1, keepdims=True) / np.linalg.norm(
            noise_ND, axis=1, keepdims=True
        )
        vectors_ND[altered] += scale * noise_ND / 2
    kept_N = np.delete(np.arange(len(words_ND)), gone if is_after else come)
    return vectors_ND[kept_N], kept_N


NIGHTS = [
    Case(
        (Goal(INCREMENTAL, 0.1, better="lower"),),
        "everything anew",
        partial(incremental_share, key=INCREMENTAL, settings=pairs_settings()),
        seconds=300,
    ),
    Case(
        (Goal(INCREMENTAL_NEIGHBORS, better="lower"),),
        "everything anew",
        partial(
            incremental_share, key=INCREMENTAL_NEIGHBORS, settings=JoinSettings(threshold=None, neighbors=NEIGHBORS)
        ),
        seconds=500,
    ),
]
