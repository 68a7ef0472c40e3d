"""Orders of a window's rows that follow a column: rows of one unit together, classes in equal parts, or by weight.

Such an order depends on values, which are read for each window before its other columns. Rows of any row group may then
belong to any rank, so that every rank reads the row groups in which rows of its own lie.

Shapes: N rows of a window, S steps of it, B rows of a global batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kinfolk.errors import DataError, SettingsError
from kinfolk.feed.order import Integers, Places, Random, Shard, Stream, Window, keep_ours
from kinfolk.tensors import NO_CODE, codes, contiguous


@dataclass(frozen=True)
class Together:
    """Every row once; rows with the same value in `column` follow each other, so that one batch holds all of them.

    A unit is parted only where a batch or a window ends inside it. Rows without a value belong to no unit.
    """

    column: str


@dataclass(frozen=True)
class PerClass:
    """As many steps as all rows take, each of whole bunches: `rows_per_class` rows with the same value in `column`.

    Each row of the window is drawn once before any is drawn again, but for classes that lack rows for a whole bunch,
    whose rows repeat, and for what then exceeds the steps. The bunches of a class are dealt evenly to the steps, so
    that those of a batch are of different classes where no class has more bunches than there are steps. Rows without a
    value are left out.
    """

    column: str
    rows_per_class: int


@dataclass(frozen=True)
class Weighted:
    """As many steps as all rows take; how often a row comes is in proportion to its value in `column`, within a window.

    Drawn systematically (Madow 1949): a row comes as often as expected, rounded up or down.
    """

    column: str


Sampling = Together | PerClass | Weighted


def check_sampling(sampling: Sampling, shard: Shard) -> None:
    """Raise SettingsError where a global batch cannot be made of whole bunches."""
    if isinstance(sampling, PerClass) and not 1 <= sampling.rows_per_class <= shard.global_batch:
        raise SettingsError(f"{sampling}: rows_per_class is 1 to the global batch's {shard.global_batch} rows")
    if isinstance(sampling, PerClass) and shard.global_batch % sampling.rows_per_class:
        raise SettingsError(
            f"a global batch of {shard.global_batch} rows is no multiple of {sampling.rows_per_class} rows per class"
        )


def read_values(sampling: Sampling, column: pa.ChunkedArray) -> np.ndarray:
    """What an order needs of a row group: codes of its values, or its weights; raises DataError for a bad weight."""
    if isinstance(sampling, Weighted):
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise DataError(f"weights are numbers; column {sampling.column} holds {column.type}")
        weights: np.ndarray = contiguous(column).cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise DataError(f"weights are finite numbers from 0 up; column {sampling.column} holds others")
        return weights
    return codes(column).values_B.numpy()


def sample_rows(
    window: Window, values_N: np.ndarray, shard: Shard, random: Random, epoch: int, sampling: Sampling
) -> Places:
    """Place the rows of a window as a sampling asks; raises DataError where it has no row to draw."""
    if isinstance(sampling, Together):
        return keep_ours(shuffle_units(values_N, random.at(Stream.UNITS, epoch, window.number)), window, shard)
    generator = random.at(Stream.SAMPLES, epoch, window.number)
    if isinstance(sampling, PerClass):
        order = _draw_bunches(values_N, window.steps, shard.global_batch, sampling.rows_per_class, generator)
    else:
        order = _draw_weighted(values_N, window.steps * shard.global_batch, generator)
    if not len(order):
        raise DataError(f"column {sampling.column} allows no row to be drawn from {window.rows} rows of the table")
    whole = Window(window.number, 0, len(order), window.steps)
    return keep_ours(order, whole, shard)


def shuffle_units(units_N: Integers, random: np.random.Generator) -> Integers:
    """A random order of rows in which rows of one unit follow each other, themselves in random order.

    `units_N` says which unit each row belongs to; NO_CODE stands for a row that belongs to none.
    """
    separate = np.where(units_N == NO_CODE, -2 - np.arange(len(units_N)), units_N)
    _, members = np.unique(separate, return_inverse=True)
    turns = random.permutation(int(members.max()) + 1 if len(members) else 0)
    order: Integers = np.lexsort((random.random(len(units_N)), turns[members]))
    return order


def _draw_bunches(classes_N: Integers, steps: int, batch: int, size: int, random: np.random.Generator) -> Integers:
    """Rows of `steps` batches, each of `batch / size` bunches of one class; empty where no row has a class."""
    bunches = _cut_bunches(classes_N, size, random)
    if not len(bunches):
        return np.zeros(0, dtype=np.int64)
    # What exceeds the steps is left out at random; where bunches are too few, they come again, each class in its turn.
    rounds, more = divmod(steps * (batch // size), len(bunches))
    rest = _take_turns(classes_N[bunches[:, 0]], random) if rounds else random.permutation(len(bunches))
    chosen = bunches[np.concatenate([*[np.arange(len(bunches))] * rounds, rest[:more]])]
    # Bunches of one class stand next to each other and are dealt to the steps in turn, each to another one.
    dealt = chosen[shuffle_units(classes_N[chosen[:, 0]], random)]
    by_step = dealt.reshape(batch // size, steps, size).transpose(1, 0, 2)
    rows: Integers = by_step[random.permutation(steps)].reshape(-1)
    return rows


def _take_turns(classes_N: Integers, random: np.random.Generator) -> Integers:
    """A random order of rows in which each class comes once before any comes again, and so on."""
    grouped = shuffle_units(classes_N, random)
    firsts = np.flatnonzero(np.diff(classes_N[grouped], prepend=NO_CODE))
    turns = np.arange(len(grouped)) - np.repeat(firsts, np.diff(firsts, append=len(grouped)))
    in_turn: Integers = grouped[np.argsort(turns, kind="stable")]
    return in_turn


def _cut_bunches(classes_N: Integers, size: int, random: np.random.Generator) -> Integers:
    """The rows of each class in random order, cut into bunches; the last one is filled up with rows of the class."""
    bunches = []
    order = shuffle_units(classes_N, random)
    order = order[classes_N[order] != NO_CODE]
    ends = np.flatnonzero(np.diff(classes_N[order])) + 1
    for rows in np.split(order, ends) if len(order) else []:
        bunches.append(np.resize(rows, -(-len(rows) // size) * size).reshape(-1, size))
    return np.concatenate(bunches) if bunches else np.zeros((0, size), dtype=np.int64)


def _draw_weighted(weights_N: np.ndarray, count: int, random: np.random.Generator) -> Integers:
    total = np.cumsum(weights_N)
    if not len(total) or total[-1] <= 0:
        return np.zeros(0, dtype=np.int64)
    marks = (random.random() + np.arange(count)) * (total[-1] / count)
    rows = np.minimum(np.searchsorted(total, marks, side="right"), np.flatnonzero(weights_N)[-1])
    return random.permutation(rows)
