"""Forecasts against what joins then find and need; and the budgets that stop a join before its work."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from kinfolk.errors import DataError
from kinfolk.settings import JoinSettings, TokenSettings
from kinfolk.similarity.forecast import (
    Estimate,
    Forecast,
    Memory,
    estimate_pairs,
    estimate_pairs_among,
    find_excess,
)
from kinfolk.similarity.found import Pairs
from kinfolk.similarity.join import similar_pairs
from kinfolk.similarity.sets import join as sets_join
from kinfolk.similarity.sets.items import ItemSets, read_sets
from kinfolk.similarity.sets.join import SetJoin
from kinfolk.similarity.vectors.forecast import Outlook
from kinfolk.similarity.vectors.items import ItemVectors
from kinfolk.similarity.vectors.join import VectorJoin
from kinfolk.similarity.vectors.scan import Wanted
from kinfolk.similarity.vectors.spaces import Space

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EXPECTED = Forecast(
    "exact",
    neighbors=10,
    comparisons=100.0,
    pairs=Estimate(5000.0, 4000.0, 6500.0, 3000.0),
    seconds=2.0,
    memory=Memory(rows=1e9, neighbors=2e9, pairs=5e9, work=1e8),
)


def make_vectors(rows: int, *, seed: int = 0, crowd: int = 20, size: int = 16) -> ItemVectors:
    """Items around centers, of which the first draw many more than the last: crowds of all sizes."""
    random = np.random.default_rng(seed)
    centers = random.standard_normal((rows // crowd, size))
    chosen = (len(centers) * random.random(rows) ** 2).astype(int)
    vectors = centers[chosen] + random.standard_normal((rows, size)) * 0.3
    return ItemVectors(pa.array([f"{i:06d}" for i in range(rows)]), vectors.astype(np.float32))


def make_sets(rows: int, *, seed: int = 0) -> ItemSets:
    """Texts of 20 words, every one a variation of one of a few hundred."""
    random = np.random.default_rng(seed)
    words = random.integers(0, 100_000, (rows // 10, 20))[random.integers(0, rows // 10, rows)]
    words[np.arange(rows), random.integers(0, 20, rows)] = random.integers(0, 100_000, rows)
    texts = pa.array([" ".join(f"w{word}" for word in row) for row in words])
    table = pa.table({"item_id": [f"{i:06d}" for i in range(rows)], "value": texts})
    return read_sets(table, TokenSettings(length=1))[0]


def count_partners(pairs: Pairs, rows: int) -> NDArray[np.int64]:
    return np.bincount(pairs.left_P, minlength=rows) + np.bincount(pairs.right_P, minlength=rows)


def find_all(items: ItemVectors, threshold: float) -> Pairs:
    pairs, _ = VectorJoin(items, None, JoinSettings(threshold=threshold, neighbors=0), threads=2).find(threads=2)
    return pairs


def test_the_interval_holds_the_number_of_pairs_and_its_certain_end_is_never_too_high() -> None:
    items = make_vectors(4000)
    pairs = find_all(items, 0.8)
    partners_N = count_partners(pairs, len(items))
    assert partners_N.max() > 5 * partners_N.mean() > 5, "there are crowds"
    told = [estimate_pairs(_draw(partners_N, 256, seed), population=4000, is_self_join=True) for seed in range(300)]
    assert 0.9 < np.mean([one.low <= len(pairs) <= one.high for one in told]) <= 1
    assert np.mean([one.value for one in told]) == pytest.approx(len(pairs), rel=0.05)
    assert all(one.least < len(pairs) for one in told)
    assert np.mean([one.high / one.low for one in told]) < 3, "an interval that says something"
    everything = estimate_pairs(partners_N, population=4000, is_self_join=True)
    assert everything == Estimate(len(pairs), len(pairs), len(pairs), len(pairs))


def test_pairs_among_some_items_tell_of_all() -> None:
    items = make_vectors(4000)
    pairs = find_all(items, 0.8)
    told = []
    for seed in range(300):
        is_drawn = np.zeros(4000, bool)
        is_drawn[np.random.default_rng(seed).choice(4000, 1000, replace=False)] = True
        some = is_drawn[pairs.left_P] & is_drawn[pairs.right_P]
        scale = 4000 * 3999 / (1000 * 999)
        told.append(estimate_pairs_among(pairs.left_P[some], pairs.right_P[some], scale=scale, is_self_join=True))
    assert 0.9 < np.mean([one.low <= len(pairs) <= one.high for one in told]) <= 1
    assert all(one.least < len(pairs) for one in told)


def test_where_no_pair_was_seen_there_may_still_be_some() -> None:
    partners_N = np.zeros(10_000, np.int64)
    partners_N[:40] = 1
    told = [estimate_pairs(_draw(partners_N, 250, seed), population=10_000, is_self_join=True) for seed in range(300)]
    nothing_seen = [one for one in told if one.value == 0]
    assert 50 < len(nothing_seen) < 200
    # Less than 3.7 sightings, each of which would stand for 20 pairs.
    assert all((one.low, one.least) == (0, 0) and one.high == pytest.approx(73.4, abs=0.1) for one in nothing_seen)
    assert np.mean([one.low <= 20 <= one.high for one in told]) > 0.94


def _draw(partners_N: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).choice(partners_N, count, replace=False)


@pytest.mark.parametrize("is_cross", [False, True])
@pytest.mark.parametrize("plan", ["exact", "cells"])
def test_vectors_are_forecast_under_every_plan(plan: Any, is_cross: bool) -> None:
    left = make_vectors(3000)
    right = make_vectors(2000) if is_cross else None
    wanted = JoinSettings(threshold=0.8, neighbors=4, plan=plan, recall=0.9, probes=600, block_rows=256)
    join = VectorJoin(left, right, wanted, threads=2, is_forecast_needed=True)
    told = join.forecasts[0]
    assert (told.plan, told.threads) == (plan, 2)
    pairs, neighbors = VectorJoin(left, right, wanted.model_copy(update={"plan": "exact"}), threads=2).find(threads=2)
    assert told.pairs is not None
    assert 0.5 * told.pairs.low < len(pairs) < 2 * told.pairs.high
    assert told.neighbors == (neighbors.code_NK >= 0).sum()
    assert told.seconds is not None
    assert told.memory is not None
    assert told.memory.bytes > 3 * left.vectors_ND.nbytes
    assert 0 < told.seconds < 60
    assert [one.plan for one in join.forecasts[1:]] == (["exact"] if plan == "cells" else [])


def test_a_small_join_is_not_measured() -> None:
    (told,) = VectorJoin(make_vectors(500), None, JoinSettings(), threads=1).forecasts
    assert (told.plan, told.pairs, told.seconds, told.memory) == ("exact", None, None, None)
    (told,) = SetJoin(make_sets(500), None, JoinSettings(measure="jaccard")).forecasts
    assert (told.plan, told.pairs) == ("prefix", None)


@pytest.mark.parametrize(
    ("left", "right", "is_less"),
    [(5_000, None, False), (1_000_000, None, True), (100, 1_000_000, False), (1_000_000, 1_000_000, True)],
)
def test_cells_are_made_where_they_save_work(left: int, right: int | None, is_less: bool) -> None:
    rows = np.broadcast_to(np.float32(1), (left, 2))
    others = rows if right is None else np.broadcast_to(np.float32(1), (right, 2))
    space = Space("cosine", rows, others, rows, others, 0.0)
    outlook = Outlook(space, Wanted(0.9, 10, 1000), JoinSettings(recall=0.95), 2, is_shared=False)
    assert outlook.is_less_in_cells() is is_less
    assert not outlook.is_less_in_cells(1e6), "as many as there are would be all"


def test_a_few_rows_are_compared_with_many_without_cells() -> None:
    wanted = JoinSettings(threshold=0.8, neighbors=2, recall=0.9)
    join = VectorJoin(make_vectors(40, seed=1), make_vectors(6000, seed=2), wanted, threads=1)
    assert join.is_exact
    assert [told.plan for told in join.forecasts] == ["exact", "cells"]


def test_sets_are_forecast_and_their_bands_chosen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sets, chosen = make_sets(3000), []

    def choose(*arguments: Any, **named: Any) -> Any:
        chosen.append(choose_bands(*arguments, **named))
        return chosen[-1]

    choose_bands = sets_join.choose_bands
    monkeypatch.setattr(sets_join, "choose_bands", choose)
    wanted = JoinSettings(measure="jaccard", threshold=0.7, neighbors=3, recall=0.95)
    join = SetJoin(sets, None, wanted, threads=2)
    assert sorted(told.plan for told in join.forecasts) == ["minhash", "prefix"]
    assert join.plan == join.forecasts[0].plan
    monkeypatch.setattr(join, "forecasts", sorted(join.forecasts, key=lambda told: told.plan))
    assert join.plan == "minhash"
    found = [len(join.find((share, 2), threads=1)[0]) for share in range(2)]
    assert len(chosen) == 1
    for told in join.forecasts:
        assert told.pairs is not None
        assert told.pairs.low < sum(found) < told.pairs.high
        assert told.neighbors == 9000
        assert told.seconds is not None
        assert 0 < told.seconds < 60


def test_a_join_of_two_tables_of_sets_is_forecast() -> None:
    sets = make_sets(6000)
    left, right = sets.take(np.arange(0, 6000, 2)), sets.take(np.arange(1, 6000, 2))
    wanted = JoinSettings(measure="jaccard", threshold=0.7, neighbors=0)
    join = SetJoin(left, right, wanted, is_forecast_needed=True)
    assert join.forecasts[0].pairs is not None
    assert join.forecasts[0].pairs.low < len(join.find(threads=2)[0]) < join.forecasts[0].pairs.high


def test_a_join_stops_before_its_work_where_there_are_certainly_too_many_pairs() -> None:
    items = make_vectors(3000)
    pairs = len(find_all(items, 0.8))
    words = rf"about [\d,]+ pairs .*cosine.*certainly [\d,]+; similarity\.max_pairs allows {pairs // 10:,}.*Raise"
    with pytest.raises(DataError, match=words):
        VectorJoin(items, None, JoinSettings(threshold=0.8, max_pairs=pairs // 10), threads=1, is_forecast_needed=True)
    for seed in range(5):
        exactly = JoinSettings(threshold=0.8, neighbors=0, max_pairs=pairs, seed=seed)
        VectorJoin(items, None, exactly, threads=2, is_forecast_needed=True)
    sets = make_sets(3000)
    with pytest.raises(DataError, match=r"jaccard.*max_pairs allows 100\."):
        SetJoin(sets, None, JoinSettings(measure="jaccard", threshold=0.5, max_pairs=100), is_forecast_needed=True)


def test_pairs_that_are_only_likely_stop_nothing() -> None:
    assert find_excess(EXPECTED, JoinSettings(max_pairs=3000, max_memory="99 GB")) is None
    assert find_excess(EXPECTED, JoinSettings(max_pairs=2999, max_memory="99 GB")) is not None


@pytest.mark.parametrize(
    ("held", "first_words"),
    [
        (Memory(1e9, 2e9, 5e9, 0.0), "Raise similarity.threshold"),
        (Memory(1e9, 7e9, 2e9, 0.0), "Lower similarity.neighbors"),
        (Memory(9e9, 2e9, 1e9, 0.0), "Join fewer rows"),
    ],
)
def test_too_much_memory_is_told_with_what_to_change(held: Memory, first_words: str) -> None:
    told = Forecast("exact", 10, 100.0, Estimate(100.0, 90.0, 110.0, 80.0), 1.0, held)
    excess = find_excess(told, JoinSettings(max_memory="4 GB"))
    assert excess is not None
    assert excess.startswith("the plan exact would take at least ")
    assert f"similarity.max_memory allows 4.0 GB. {first_words}" in excess
    assert find_excess(told, JoinSettings(max_memory="20 GB")) is None
    # Of the pairs only those count that there certainly are, and nothing that can be done with less.
    certain = held.rows + held.neighbors + 0.8 * held.pairs
    assert find_excess(told, JoinSettings(max_memory=round(certain) + 1)) is None
    assert find_excess(told, JoinSettings(max_memory=round(certain) - 1)) is not None


def test_without_a_setting_the_memory_here_is_the_limit() -> None:
    told = Forecast("exact", 10, 100.0, Estimate(0.0, 0.0, 0.0, 0.0), 1.0, Memory(1e15, 0.0, 0.0, 0.0))
    excess = find_excess(told, JoinSettings())
    assert excess is not None
    assert "of the memory here a join may take" in excess
    small = Forecast("exact", 10, 100.0, Estimate(0.0, 0.0, 0.0, 0.0), 1.0, Memory(1e6, 0.0, 0.0, 0.0))
    assert find_excess(small, JoinSettings()) is None


JOIN_AND_MEASURE = """
import functools, json, pathlib, sys, tempfile
import numpy as np, pyarrow as pa
from threadpoolctl import threadpool_limits
from kinfolk.settings import JoinSettings
from kinfolk.similarity.task import join_all

def read_status(name):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

def make_rows(count):
    random = np.random.default_rng(0)
    vectors = random.standard_normal((300, 96))[random.integers(0, 300, count)]
    vectors = (vectors + random.standard_normal((count, 96)) * 0.5).astype(np.float32)
    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 96).cast(pa.list_(pa.float32()))
    ids = pa.array([f"{place:07d}" for place in range(count)])
    return pa.record_batch({"is_right": pa.repeat(False, count), "item_id": ids, "value": values})

def join(rows, **wanted):
    told = []
    settings = JoinSettings(threshold=0.7, **wanted)
    with tempfile.TemporaryDirectory() as scratch, threadpool_limits(1):
        read = functools.partial(pa.Table.from_batches, [rows])
        found = join_all(read, settings, is_self_join=True, threads=2, scratch=scratch, tell=told.append)
    return found, told[0]

wanted = json.loads(sys.argv[1])
join(make_rows(2000), **wanted)
rows = make_rows(20_000)
before = read_status("VmRSS") - rows.nbytes
pathlib.Path("/proc/self/clear_refs").write_text("5")
found, told = join(rows, **wanted)
print(json.dumps({
    "held": read_status("VmHWM") - before, "told": told.to_json(), "pairs": found.pairs, "seconds": found.seconds
}))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a process")
@pytest.mark.parametrize("wanted", [{"neighbors": 10}, {"neighbors": 10, "plan": "cells", "recall": 0.9}])
def test_the_memory_that_was_forecast_is_needed(wanted: dict[str, Any]) -> None:
    import json

    done = subprocess.run(
        [sys.executable, "-c", JOIN_AND_MEASURE, json.dumps(wanted)], check=True, capture_output=True, timeout=120
    )
    measured = json.loads(done.stdout)
    told = Forecast.from_json(measured["told"])
    assert told.memory is not None
    assert told.pairs is not None
    assert told.pairs.low < measured["pairs"] / wanted.get("recall", 1.0)
    assert 0.6 < told.memory.bytes / measured["held"] < 1.6


@pytest.mark.parametrize("one_task_rows", [50_000, 0])
def test_a_join_tells_what_it_expects_before_it_begins_or_why_it_refuses(
    spark: SparkSession, one_task_rows: int
) -> None:
    vectors = make_vectors(300).vectors_ND.tolist()
    items = spark.createDataFrame(
        pa.table({"item_id": [f"{i:03d}" for i in range(300)], "embedding": pa.array(vectors, pa.list_(pa.float32()))})
    )
    heard: list[Forecast] = []
    wanted = JoinSettings(threshold=0.8, one_task_rows=one_task_rows)
    with closing(similar_pairs(items, settings=wanted, hear=heard.append)) as found:
        assert heard == [found.audit.forecast]
        assert (heard[0].plan, heard[0].tasks) == ("exact", found.audit.tasks)
    with pytest.raises(DataError, match=r"reading 300 rows would take .*similarity\.max_memory allows 1 MB"):
        similar_pairs(items, settings=wanted.model_copy(update={"max_memory": 10_000}))
    with pytest.raises(DataError, match="300 item ids come more than once"):
        similar_pairs(items.union(items), settings=wanted)
