"""What a join of vectors is expected to find and to need, learned by comparing some rows with all others.

Work is counted in comparisons, entries of a product. How long one takes is measured with the very kernels on the very
rows: a product with its flags by looking for pairs of some rows, what neighbours take beyond it by looking for theirs,
and the narrower products of cells by some of these. The plan is chosen by comparisons alone, never by the clock: the
same rows and settings are always joined the same way.

Shape suffixes: N items, Q rows of a tile, P pairs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from kinfolk.settings import JoinSettings
from kinfolk.similarity.effort import split_items, spread
from kinfolk.similarity.forecast import (
    CERTAIN_NONE,
    FEWEST_COMPARISONS,
    WRITE_SECONDS,
    Estimate,
    Forecast,
    Memory,
    count_writing_bytes,
    estimate_pairs,
)
from kinfolk.similarity.recall import Truth, draw_rows
from kinfolk.similarity.vectors.cells import cell_count, count_products
from kinfolk.similarity.vectors.product import join_some
from kinfolk.similarity.vectors.scan import SPARE_PLACES, Rows, Scan, Wanted, all_of
from kinfolk.similarity.vectors.spaces import Space

USUAL_CELLS = 16
"""Cells that a row is compared with, its home among them, where it has not been learned yet."""
CELL_HANDICAP = 2.0
"""How many comparisons in blocks take as long as one in cells, whose products are narrow."""

_FEWEST_ROWS, _MOST_ROWS = 256, 1024
_ROWS_A_DRAWN = 100
"""Rows for each that is drawn: comparing these with all others takes a fiftieth of the whole join."""
FEWEST_PARTNERED = 100
"""Rows with true partners that tell how many cells to probe for a recall of .95; fewer leave the interval too wide."""
_ROWS_A_LEARNED = 20
"""Rows for each that is drawn at most to learn that: a tenth of the exact join of all of them."""
_PILOT_ROWS, _TIMED_ROWS = 32, 128
_MOST_SEEN = 5_000_000
"""Pairs of drawn rows, above which fewer rows are drawn."""
_MOST_FOUND = 10 * _MOST_SEEN
_TILE_ROWS = 1024
_TILES_A_THREAD = 24
_FEWEST_TILES, _TILES_A_DRAWN = 8, 50
_NO_MEMORY = Memory(rows=0.0, neighbors=0.0, pairs=0.0, work=0.0)
_BEYOND = {"cosine": 1.0, "euclidean": 0.0, "inner_product": 1e30}
"""Similarities that hardly any pair reaches: what is found costs nothing, and only the looking is timed."""

_PAIR_BYTES = 48
"""Of a pair, in its piece and in the whole."""
_CELL_PAIR_BYTES = 120
"""Of a pair whose codes are put back into the first order, and whose recall is measured."""
_PLACE_BYTES, _CELL_PLACE_BYTES = 40, 64
"""Of a place for a neighbour: its key, its code and similarity, both once more while they are sorted, and in cells once
more while they are put in order."""
_PROBE_BYTES = 16
"""Of a cell that a row probes: found, put together, and grouped by cell."""
_TILE_BYTES = 8
"""Of an entry of a tile that a thread works on: its score, its flag, and the places of what is taken of it."""


@dataclass(frozen=True)
class Sample:
    """Some rows drawn at random, all that they are similar to, what that says of all rows, and how long it took.

    `comparison_seconds` are those of one comparison in blocks, `cell_seconds` those of one in cells; `pair_seconds` and
    `neighbor_seconds` what the pairs and the neighbours of one row take beyond its comparisons with all others.
    """

    truth: Truth
    pairs: Estimate
    comparison_seconds: float
    cell_seconds: float
    pair_seconds: float
    neighbor_seconds: float


def _count_drawn(population: int, base: int) -> int:
    """How many rows to draw where nothing but a forecast is wanted of them."""
    if population * base < FEWEST_COMPARISONS:
        return min(population, _MOST_ROWS)
    return max(1, min(population // 20, max(_FEWEST_ROWS, min(population // _ROWS_A_DRAWN, _MOST_ROWS))))


def count_exact(space: Space, wanted: Wanted, *, is_shared: bool) -> float:
    """Comparisons of the exact plan."""
    all_of_them = float(len(space.query_NE)) * len(space.base_NE)
    # A product serves both of its sides, unless neighbours of the other are another task's.
    return all_of_them / 2 if space.is_self_join and not (is_shared and wanted.neighbors) else all_of_them


def count_cells(space: Space, visited: float, probes: int) -> float:
    """Comparisons of the plan by cells: with centers, with so many base rows, and to measure what was found."""
    left, right = len(space.query_NE), len(space.base_NE)
    made = count_products(right, 0 if space.is_self_join else left)
    measured = min(left, probes) + min(left, probes // 2)
    return float(made + left * cell_count(right) + measured * right) + left * visited


def draw_sample(space: Space, wanted: Wanted, settings: JoinSettings, rows: Rows, *, threads: int) -> Sample:
    """Compare some rows, drawn at random, with all others, and take the time.

    It is that of the processor, which others on the machine do not lengthen, shared among the threads.
    """
    # The budget is for all pairs, and would end the sample where it begins to tell something.
    wanted = replace(wanted, max_pairs=_MOST_FOUND)
    rows = _thin(space, wanted, settings, rows, threads)
    started = time.process_time()
    truth = Truth(rows, *join_some(space, wanted, rows, block_rows=settings.block_rows, threads=threads))
    both_seconds = (time.process_time() - started) / threads / len(rows)
    few = rows[:: max(1, len(rows) // _TIMED_ROWS)]
    looking = replace(wanted, least=_BEYOND[space.measure], neighbors=0)
    looking_seconds, finding_seconds = (
        _time_rows(space, some, few, settings, threads) for some in (looking, replace(wanted, neighbors=0))
    )
    pairs = CERTAIN_NONE
    if wanted.least is not None:
        partners_N = np.bincount(np.searchsorted(rows, truth.pairs.left_P), minlength=len(rows))
        pairs = estimate_pairs(partners_N, population=len(space.query_NE), is_self_join=space.is_self_join)
    else:
        finding_seconds = looking_seconds
    return Sample(
        truth,
        pairs,
        comparison_seconds=looking_seconds / len(space.base_NE),
        cell_seconds=_time_cells(space, looking, threads),
        pair_seconds=max(0.0, finding_seconds - looking_seconds),
        neighbor_seconds=max(0.0, both_seconds - finding_seconds) if wanted.neighbors else 0.0,
    )


def _time_rows(space: Space, wanted: Wanted, rows: Rows, settings: JoinSettings, threads: int) -> float:
    """Seconds that one row takes, by comparing some with all others."""
    started = time.process_time()
    join_some(space, wanted, rows, block_rows=settings.block_rows, threads=threads)
    return (time.process_time() - started) / threads / len(rows)


def _thin(space: Space, wanted: Wanted, settings: JoinSettings, rows: Rows, threads: int) -> Rows:
    """Fewer of the rows where they have so many partners that keeping them would be a burden.

    A first few show it; and the kernels are loaded before anything is timed.
    """
    few = rows[:: max(1, len(rows) // _PILOT_ROWS)]
    pairs, _ = join_some(space, wanted, few, block_rows=settings.block_rows, threads=threads)
    seen = len(pairs) / len(few) * len(rows)
    return rows if seen <= _MOST_SEEN else rows[:: int(np.ceil(seen / _MOST_SEEN))]


def _time_cells(space: Space, wanted: Wanted, threads: int) -> float:
    """Seconds of one comparison in tiles as cells have them: rows from anywhere against the few rows of a cell."""
    random = np.random.default_rng(0)
    left, right = len(space.query_NE), len(space.base_NE)
    width = max(1, right // cell_count(right))
    scan = Scan(space, wanted)
    queries = [np.sort(random.choice(left, min(left, _TILE_ROWS))) for _ in range(threads)]
    starts = random.integers(0, right - width + 1, _TILES_A_THREAD)

    def multiply(query_Q: Rows) -> None:
        for start in starts.tolist():
            scan.take(query_Q, range(start, start + width), is_mutual=False, owns=all_of)

    started = time.process_time()
    spread(multiply, queries, threads)
    return (time.process_time() - started) / threads / (len(queries) * len(queries[0]) * len(starts) * width)


@dataclass(frozen=True)
class Outlook:
    """What is known of a join before its work: forecasts of its plans are read off from it.

    `sample` is None until one is drawn, which a join is not worth that is over in no time.
    """

    space: Space
    wanted: Wanted
    settings: JoinSettings
    threads: int
    is_shared: bool
    sample: Sample | None = None

    @property
    def is_worth_learning(self) -> bool:
        """Whether there is so much to compare that a forecast is worth its time."""
        return len(self.space.query_NE) * len(self.space.base_NE) >= FEWEST_COMPARISONS

    def learn(self, *, is_in_cells: bool) -> Outlook:
        """The same with what some rows tell; the plan by cells learns from them how many cells to probe as well."""
        population = len(self.space.query_NE)
        if not population or not len(self.space.base_NE):
            return self
        count = self.settings.probes // 2 if is_in_cells else _count_drawn(population, len(self.space.base_NE))
        learned = self._draw(count)
        # Where few rows have partners, it takes many rows to see how many cells have to be probed for them.
        most = population // _ROWS_A_LEARNED if is_in_cells and not self.wanted.neighbors else 0
        while count < most and learned.partnered < FEWEST_PARTNERED:
            count = min(most, 4 * count)
            learned = self._draw(count)
        return learned

    def _draw(self, count: int) -> Outlook:
        # Other rows than those that the result is measured on.
        rows = draw_rows(len(self.space.query_NE), count, seed=self.settings.seed + 1)
        return replace(self, sample=draw_sample(self.space, self.wanted, self.settings, rows, threads=self.threads))

    @property
    def partnered(self) -> int:
        """How many of the drawn rows have any pair."""
        return 0 if self.sample is None else len(np.unique(self.sample.truth.pairs.left_P))

    def is_less_in_cells(self, visited: float | None = None) -> bool:
        """Whether the plan by cells, where a row meets so many others, is expected to take less time than the exact."""
        in_cells = count_cells(self.space, self._visited(visited), self.settings.probes)
        return CELL_HANDICAP * in_cells < count_exact(self.space, self.wanted, is_shared=self.is_shared)

    def forecast_exact(self) -> Forecast:
        """What the exact plan is expected to find and to need."""
        comparisons = count_exact(self.space, self.wanted, is_shared=self.is_shared)
        if self.sample is None:
            return self._forecast("exact", comparisons)
        seconds = comparisons * self.sample.comparison_seconds
        memory = Memory(
            rows=_count_row_bytes(self.space),
            neighbors=self._places(SPARE_PLACES) * _PLACE_BYTES,
            pairs=self.sample.pairs.value * _PAIR_BYTES,
            work=self.threads * _TILE_BYTES * min(self.settings.block_rows, len(self.space.base_NE)) ** 2,
        )
        return self._forecast("exact", comparisons, seconds, memory)

    def forecast_cells(self, visited: float | None = None) -> Forecast:
        """What the plan by cells is expected to find and to need, where a row meets so many others."""
        visited = self._visited(visited)
        comparisons = count_cells(self.space, visited, self.settings.probes)
        if self.sample is None:
            return self._forecast("cells", comparisons)
        left, right = len(self.space.query_NE), len(self.space.base_NE)
        meetings, rows_a_cell = left * visited, right / cell_count(right)
        seconds = meetings * self.sample.cell_seconds + (comparisons - meetings) * self.sample.comparison_seconds
        memory = Memory(
            rows=_count_row_bytes(self.space) + _count_reordered_bytes(self.space),
            neighbors=self._places(0) * _CELL_PLACE_BYTES,
            pairs=self.sample.pairs.value * _CELL_PAIR_BYTES,
            work=meetings / rows_a_cell * _PROBE_BYTES + self.threads * _TILE_BYTES * _TILE_ROWS * rows_a_cell,
        )
        return self._forecast("cells", comparisons, seconds, memory)

    def _visited(self, learned: float | None) -> float:
        """Base rows that a row meets in cells."""
        right = len(self.space.base_NE)
        usual = USUAL_CELLS * right / cell_count(right)
        return min(float(right), usual if learned is None else learned)

    def forecast_signs(self, meetings: float, seconds: float, exact: Forecast) -> Forecast:
        """What the plan by signs is expected to find, as the exact one does, and to need on one thread."""
        if self.sample is None:
            return replace(exact, plan="signs", comparisons=meetings)
        seconds = seconds / self.threads + self.sample.pairs.value * WRITE_SECONDS
        return replace(exact, plan="signs", comparisons=meetings, seconds=seconds)

    def _forecast(self, plan: str, comparisons: float, seconds: float = 0.0, memory: Memory | None = None) -> Forecast:
        left, others = len(self.space.query_NE), len(self.space.base_NE) - self.space.is_self_join
        neighbors = left * min(self.wanted.neighbors, max(0, others))
        forecast = Forecast(plan, neighbors, comparisons, threads=self.threads)
        if self.sample is None or memory is None:
            return forecast
        found = neighbors + self.sample.pairs.value
        # The pairs of a join with itself are met once, by one of their rows; neighbours are offered to both.
        pair_rows = left / 2 if self.space.is_self_join else left
        seconds += pair_rows * self.sample.pair_seconds + left * self.sample.neighbor_seconds + found * WRITE_SECONDS
        memory = replace(memory, work=memory.work + count_writing_bytes(found))
        return replace(forecast, pairs=self.sample.pairs, seconds=seconds, memory=memory)

    def _places(self, spare: int) -> int:
        return _count_places(self.space, self.wanted, spare)


def _count_places(space: Space, wanted: Wanted, spare: int) -> int:
    """Places for neighbours of all rows, so many of each to spare."""
    return len(space.query_NE) * (wanted.neighbors + spare) if wanted.neighbors else 0


def forecast_tiles(
    space: Space, wanted: Wanted, settings: JoinSettings, plain: Forecast, *, tile_rows: int
) -> Forecast:
    """The forecast of the exact plan within blocks, learned from some tiles of the left side.

    Whole tiles are drawn and not rows: these would lie in so many blocks that all others had to be multiplied.
    """
    tiles = split_items(len(space.query_NE), tile_rows)
    if not tiles or not len(space.base_NE):
        return replace(plain, pairs=CERTAIN_NONE, seconds=0.0, memory=_NO_MEMORY)
    drawn = draw_rows(len(tiles), max(_FEWEST_TILES, len(tiles) // _TILES_A_DRAWN), seed=settings.seed + 1)
    wanted = replace(wanted, max_pairs=_MOST_FOUND)
    # The kernels are loaded before anything is timed.
    join_some(space, wanted, np.arange(tiles[0].start, tiles[0].start + 1), block_rows=tile_rows, threads=1)
    started = time.process_time()
    partners_T = np.array([_count_partners(space, wanted, tiles[tile], tile_rows) for tile in drawn])
    seconds = (time.process_time() - started) / len(drawn) * len(tiles) / plain.threads
    pairs = CERTAIN_NONE
    if wanted.least is not None:
        pairs = estimate_pairs(partners_T, population=len(tiles), is_self_join=space.is_self_join)
    found = plain.neighbors + pairs.value
    memory = Memory(
        rows=_count_row_bytes(space),
        neighbors=_count_places(space, wanted, SPARE_PLACES) * _PLACE_BYTES,
        pairs=pairs.value * _CELL_PAIR_BYTES,
        work=plain.threads * _TILE_BYTES * tile_rows**2 + count_writing_bytes(found),
    )
    return replace(plain, pairs=pairs, seconds=seconds + found * WRITE_SECONDS, memory=memory)


def _count_partners(space: Space, wanted: Wanted, tile: range, tile_rows: int) -> int:
    pairs, _ = join_some(space, wanted, np.arange(tile.start, tile.stop), block_rows=tile_rows, threads=1)
    return len(pairs)


def _count_row_bytes(space: Space) -> float:
    """Bytes of the rows: as they came, as vectors, and as what is multiplied, which reading them needs as well."""
    sides = [space.left_ND] if space.is_self_join else [space.left_ND, space.right_ND]
    return 3.0 * sum(side.nbytes for side in sides)


def _count_reordered_bytes(space: Space) -> float:
    """Bytes of what is put in the order of the cells, less those of the rows as they came, which are gone by then."""
    if space.is_self_join:
        return float(space.base_NE.nbytes)
    return float(space.query_NE.nbytes + space.base_NE.nbytes)
