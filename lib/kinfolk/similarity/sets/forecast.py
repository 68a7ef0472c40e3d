"""What a join of sets is expected to find and to need, learned by joining some items of each side.

The plan is chosen by what it has to do, tokens read and candidates compared, at fixed seconds each, never by the clock:
the same rows and settings are always joined the same way. What is told to people is then corrected by how long the
sample took here. Finding neighbours takes a time that grows faster than the number of items, unless they are alone; how
fast, two samples of different sizes show.

Shape suffixes: P pairs.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

from kinfolk.settings import JoinSettings, SetMeasure
from kinfolk.similarity.effort import Effort
from kinfolk.similarity.forecast import (
    CERTAIN_NONE,
    FEWEST_COMPARISONS,
    WRITE_SECONDS,
    Estimate,
    Forecast,
    Memory,
    count_writing_bytes,
    estimate_pairs_among,
)
from kinfolk.similarity.recall import draw_rows
from kinfolk.similarity.sets.items import ItemSets
from kinfolk.similarity.sets.minhash import CANDIDATE_SECONDS, Bands
from kinfolk.similarity.sets.nearest import find_neighbors
from kinfolk.similarity.sets.partners import PARTNER_TOKEN_SECONDS
from kinfolk.similarity.sets.prefix import PREFIX_TOKEN_SECONDS, count_meetings, join_prefixes
from kinfolk.similarity.sets.shingles import LISTS
from kinfolk.similarity.sets.sketches import Rule

_FEWEST_ITEMS, _MOST_ITEMS = 2000, 20_000
_ITEMS_A_DRAWN = 50
_MOST_CANDIDATES = 1e7
"""Candidates of a sample: looking at them takes a tenth of a second."""
_NEAREST_ITEMS = (1000, 4000)
"""Items of the samples that show how the time for a neighbour grows."""
_LEAST_GROWTH = 0.5
"""Power of the number of items that this time grows with at least: small samples hide how much."""
_WARM_UP_ITEMS = 20
_LEAST_PACE, _MOST_PACE = 0.1, 20.0

_MINHASH_TOKEN_SECONDS = 3e-8
"""Of reading a token twice."""

_TEXT_COPIES, _LIST_COPIES = 1.5, 3.0
"""Forms of a text while it is read: as it came, and what its reader holds besides; and of the hashes of a list: as it
came, hashed, and each once."""
_ITEM_BYTES = 130.0
"""Of an item without its text: its id, place, sizes and sketch."""
_PAIR_BYTES = 88.0
"""Of a pair, found, put together with the others, written with its codes in order, and measured."""
_PLACE_BYTES = 32.0
_POSTING_BYTES = 20.0
"""Of a token that is looked up: its slot, and its item among the postings of that slot."""
_KEY_BYTES = 16.0
"""Of an item's key of one band, as it is and sorted."""
_MOST_COUNTS = 1 << 24
_COUNT_BYTES = 4.0
"""Of a slot of the table that tokens are counted in, of which each thread has one and there is one for all."""
_ITEM_WORK_BYTES = 32.0
"""Of an item, in the memory that each thread works with."""


@dataclass(frozen=True)
class Sample:
    """What some items of each side tell of all.

    `candidates` are pairs whose sketches the prefix plan compares. `pace` is how many times as long everything takes
    here as on the machine that the fixed seconds come from; `neighbor_seconds` are those of finding all neighbours, on
    one thread.
    """

    candidates: float
    pairs: Estimate
    pace: float
    neighbor_seconds: float


@dataclass(frozen=True)
class Outlook:
    """What is known of a join before its work: forecasts of its plans are read off from it.

    `rule` is None where no pairs are asked for. `sample` is None until one is drawn, which a join is not worth that is
    over in no time.
    """

    left: ItemSets
    right: ItemSets | None
    measure: SetMeasure
    rule: Rule | None
    settings: JoinSettings
    threads: int
    sample: Sample | None = None

    @property
    def is_worth_learning(self) -> bool:
        """Whether there is so much to compare that a forecast is worth its time."""
        return _count_comparisons(self.left, self.right) >= FEWEST_COMPARISONS / 2

    def learn(self) -> Outlook:
        """The same with what some items tell."""
        if not len(self.left) or (self.right is not None and not len(self.right)):
            return self
        return replace(self, sample=_draw_sample(self))

    def costs_less_by_prefixes(self, bands: Bands) -> bool:
        """Whether the plan by prefixes is expected to take less time than these bands; of nothing, it is.

        Of what bands find the recall has to be measured too.
        """
        if self.sample is None:
            return True
        seconds = self._tokens() * PREFIX_TOKEN_SECONDS + self.sample.candidates * CANDIDATE_SECONDS
        return seconds <= self._tokens() * (_MINHASH_TOKEN_SECONDS + PARTNER_TOKEN_SECONDS) + bands.seconds

    def forecast_prefix(self) -> Forecast:
        """What the plan by prefixes is expected to find and to need."""
        if self.sample is None:
            return self._forecast("prefix", 0.0)
        seconds = self._tokens() * PREFIX_TOKEN_SECONDS if self.rule else 0.0
        return self._forecast("prefix", self.sample.candidates, seconds, self._tokens() * _POSTING_BYTES)

    def forecast_minhash(self, bands: Bands) -> Forecast:
        """What the plan by bands is expected to find and to need."""
        keys = _KEY_BYTES * bands.bands * self._items()
        seconds = self._tokens() * _MINHASH_TOKEN_SECONDS + bands.seconds - bands.candidates * CANDIDATE_SECONDS
        told = self._forecast("minhash", bands.candidates, seconds, keys)
        if self.sample is None or told.seconds is None:
            return told
        measured = min(1.0, self.settings.probes / len(self.left)) * self.sample.neighbor_seconds
        measured += self._tokens() * PARTNER_TOKEN_SECONDS * self.sample.pace
        return replace(told, seconds=told.seconds + measured / self.threads)

    def _forecast(self, plan: str, candidates: float, seconds: float = 0.0, work: float = 0.0) -> Forecast:
        others = self._items() - len(self.left) if self.right else len(self.left) - 1
        neighbors = len(self.left) * min(self.settings.neighbors, max(0, others))
        forecast = Forecast(plan, neighbors, candidates, threads=self.threads)
        if self.sample is None:
            return forecast
        postings = self._tokens() * _POSTING_BYTES if neighbors else 0.0
        memory = Memory(
            rows=self._read_bytes() + self._items() * _ITEM_BYTES,
            neighbors=neighbors * _PLACE_BYTES,
            pairs=self.sample.pairs.value * _PAIR_BYTES,
            work=count_writing_bytes(neighbors + self.sample.pairs.value)
            + max(work, postings)
            + (self.threads + 1) * _COUNT_BYTES * min(_MOST_COUNTS, 2 * self._tokens())
            + self.threads * self._items() * _ITEM_WORK_BYTES,
        )
        finding = (seconds + candidates * CANDIDATE_SECONDS) * self.sample.pace + self.sample.neighbor_seconds
        writing = (neighbors + self.sample.pairs.value) * WRITE_SECONDS
        return replace(forecast, pairs=self.sample.pairs, seconds=finding / self.threads + writing, memory=memory)

    def _sides(self) -> list[ItemSets]:
        return [self.left] if self.right is None else [self.left, self.right]

    def _items(self) -> int:
        return sum(len(side) for side in self._sides())

    def _tokens(self) -> float:
        return sum(side.mean_tokens * len(side) for side in self._sides())

    def _read_bytes(self) -> float:
        copies = _LIST_COPIES if self.left.source.kind == LISTS else _TEXT_COPIES
        return copies * sum(side.nbytes for side in self._sides())


def _draw_sample(outlook: Outlook) -> Sample:
    """Join some items of each side with one another, and take the time of the processor."""
    some, others = _draw(outlook, _FEWEST_ITEMS)
    scale = _scale(outlook, some, others)
    neighbor_seconds = _time_neighbors(outlook) if outlook.settings.neighbors else 0.0
    rule = outlook.rule
    if rule is None:
        return Sample(0.0, CERTAIN_NONE, 1.0, neighbor_seconds)
    candidates = count_meetings(some, others, rule)
    if (more := _count_drawn(outlook, candidates)) > _FEWEST_ITEMS:
        some, others = _draw(outlook, more)
        scale = _scale(outlook, some, others)
        candidates = count_meetings(some, others, rule)
    # The kernels are loaded before anything is timed.
    join_prefixes(*_draw(outlook, _WARM_UP_ITEMS), rule, Effort(1))
    started = time.process_time()
    found = join_prefixes(some, others, rule, Effort(1))
    seconds = time.process_time() - started
    tokens = sum(side.mean_tokens * len(side) for side in (some, others) if side is not None)
    pace = seconds / max(1e-9, tokens * PREFIX_TOKEN_SECONDS + candidates * CANDIDATE_SECONDS)
    pairs = estimate_pairs_among(found.left_P, found.right_P, scale=scale, is_self_join=others is None)
    return Sample(scale * candidates, pairs, min(max(pace, _LEAST_PACE), _MOST_PACE), neighbor_seconds)


def _count_drawn(outlook: Outlook, candidates: float) -> int:
    """How many items to draw of each side, given the candidates among the fewest."""
    largest = max(len(side) for side in (outlook.left, outlook.right) if side is not None)
    wanted = min(max(largest // _ITEMS_A_DRAWN, _FEWEST_ITEMS), _MOST_ITEMS)
    return min(wanted, int(_FEWEST_ITEMS * math.sqrt(_MOST_CANDIDATES / max(candidates, 1.0))))


def _draw(outlook: Outlook, count: int) -> tuple[ItemSets, ItemSets | None]:
    """Some of the items of each side, drawn at random."""
    left, right, seed = outlook.left, outlook.right, outlook.settings.seed
    some = left.take(draw_rows(len(left), count, seed=seed))
    return some, None if right is None else right.take(draw_rows(len(right), count, seed=seed + 1))


def _time_neighbors(outlook: Outlook) -> float:
    """Seconds of finding all neighbours on one thread, told from samples of two sizes."""
    measure, wanted = outlook.measure, outlook.settings.neighbors
    find_neighbors(*_draw(outlook, _WARM_UP_ITEMS), measure, wanted, Effort(1))
    times, sizes = [], []
    for count in _NEAREST_ITEMS:
        some, others = _draw(outlook, count)
        started = time.process_time()
        find_neighbors(some, others, measure, wanted, Effort(1))
        times.append((time.process_time() - started) / len(some))
        sizes.append(len(some if others is None else others))
    growth = 0.0
    if sizes[1] > sizes[0]:
        growth = math.log(times[1] / times[0]) / math.log(sizes[1] / sizes[0])
    base = len(outlook.left if outlook.right is None else outlook.right)
    return len(outlook.left) * times[1] * math.pow(base / sizes[1], min(max(growth, _LEAST_GROWTH), 1.0))


def _scale(outlook: Outlook, some: ItemSets, others: ItemSets | None) -> float:
    """How many pairs of items stand behind each pair of those that were drawn."""
    return _count_comparisons(outlook.left, outlook.right) / max(_count_comparisons(some, others), 1.0)


def _count_comparisons(left: ItemSets, right: ItemSets | None) -> float:
    return len(left) * (len(left) - 1) / 2 if right is None else float(len(left) * len(right))
