"""Cases in which association rules are their own peer: what ten million baskets, growth and the job itself cost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake

from kinfolk.association.task import mine_all
from kinfolk.jobs.mine import JOB
from kinfolk.run import run_job
from kinfolk.settings import Settings
from kinfolk.tables.catalog import CLEAN_EVENTS, FREQUENT_ITEMSETS
from kinfolk.tables.lake import Lake

from ._rules_data import read_lists, t10i4
from ._rules_sides import CONFIDENCE, mine_arrays, mine_tables, open_session, settings_of
from .harness import Bench, Case, Comparison, Goal, PeerLimit, Reading, WrongResult
from .harness.measuring import measure

MOST_BASKETS, SMALL_BASKETS = 10_000_000, 1_000
SIZES = (1_250_000, 2_500_000, 5_000_000, 10_000_000)
SUPPORT, SUPPORTS = 0.005, (0.01, 0.005, 0.002, 0.001)
FIXED_RUNS, GROWTH_RUNS = 5, 9
PEER_LIMIT = 300.0

FIXED = "rules.fixed_seconds"
GROWTH, GROWTH_SECONDS = "rules.growth_on_doubling", "rules.growth_seconds"
VS_BEST_PEER, VS_SINGLE = "rules.t10i4d10m_vs_best_peer", "rules.t10i4d10m_vs_single_process"


def fixed_seconds(bench: Bench) -> Mapping[str, Reading]:
    """Measure the mine job on baskets that take no time: checks, records and the writing of all its tables."""
    spark, table = bench.keep(open_session()), pa.table({"items": read_lists(t10i4(bench, SMALL_BASKETS))})

    def make(folder: Path) -> None:
        write_events(folder, table)

    given, lake = bench.data(f"lake-{SMALL_BASKETS}", make), bench.folder / "lake"
    settings = {"association": {"min_support": 0.01, "min_confidence": CONFIDENCE}}
    whole = Settings.model_validate({"lake": {"root": str(lake)}} | settings)
    expected = len(mine_arrays(table, 0.01)[1].count_S)
    seconds = []
    for _ in range(FIXED_RUNS + 1):
        shutil.rmtree(lake, ignore_errors=True)
        shutil.copytree(given, lake)
        seconds.append(measure(lambda: run_job(JOB, whole, spark=spark, note=lambda message: None))[1].wall)
        found = Lake(str(lake)).snapshot(FREQUENT_ITEMSETS).rows
        if found != expected:
            raise WrongResult(f"the job wrote {found:,} itemsets; there are {expected:,}")
    # The first run warms up.
    counted = seconds[1:]
    note = f"{min(counted):.2f}-{max(counted):.2f} s, {FIXED_RUNS} runs in a session that stands"
    return {FIXED: Reading(median(counted), note)}


def write_events(lake: Path, table: pa.Table) -> None:
    """Write baskets as clean events, a row for each item."""
    stock = Lake(str(lake))
    stock.prepare(CLEAN_EVENTS)
    lists = table["items"].combine_chunks()
    baskets = np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy())
    when, rows = datetime(2026, 3, 10, 12, tzinfo=UTC), len(baskets)
    known: dict[str, Any] = {
        "row": np.arange(rows),
        "basket_id": pa.array(baskets).cast(pa.string()),
        "item_id": lists.flatten().cast(pa.string()),
    }
    common = {"source": "s", "file": "f", "quantity": 1, "event_time": when, "run_id": "r", "updated_at": when}
    schema = CLEAN_EVENTS.arrow_schema()
    columns = [
        pa.array(known[field.name], field.type)
        if field.name in known
        else pa.repeat(pa.scalar(common.get(field.name), field.type), rows)
        for field in schema
    ]
    write_deltalake(stock.path("clean_events"), pa.table(columns, schema=schema), mode="overwrite")


def growth(bench: Bench) -> Mapping[str, Reading]:
    """Measure from Parquet to Parquet how the time grows as baskets double, what a small table takes taken off.

    All sizes take turns, so that what else the machine does falls on each of them alike; memory is kept.
    """
    spark, out = bench.keep(open_session(keeps_memory=True)), bench.folder / "out"
    sizes = (SMALL_BASKETS, *SIZES)
    folders = {baskets: t10i4(bench, baskets) for baskets in sizes}
    taken, factors = {}, {}
    for support in SUPPORTS:
        runs: dict[int, list[float]] = {baskets: [] for baskets in sizes}
        # The first round warms up: a task's memory grows with the largest table it has seen.
        for _ in range(GROWTH_RUNS + 1):
            for baskets, folder in folders.items():
                settings = settings_of(max(support, 0.01) if baskets == SMALL_BASKETS else support)
                runs[baskets].append(measure(partial(mine_tables, spark, folder, settings, out))[1].wall)
        fixed, *whole = (median(runs[baskets][1:]) for baskets in sizes)
        bench.note(f"at {support}: {', '.join(f'{n:,} baskets {s:.2f} s' for n, s in zip(SIZES, whole, strict=True))}")
        seconds = [s - fixed for s in whole]
        taken |= {
            f"{GROWTH_SECONDS}.support {support}.{baskets}": Reading(s, f"beyond the fixed {fixed:.2f} s")
            for baskets, s in zip(SIZES, seconds, strict=True)
        }
        factors[support] = [after / before for before, after in pairwise(seconds)]
    note = "; ".join(f"at {support} {', '.join(f'{f:.2f}' for f in some)}" for support, some in factors.items())
    return {GROWTH: Reading(max(max(some) for some in factors.values()), f"the worst of {note}"), **taken}


def against_best_peer(bench: Bench) -> Mapping[str, Reading]:
    """Measure ten million baskets from Parquet to Parquet beside every library that can load them into one process."""
    spark, folder, out = bench.keep(open_session()), t10i4(bench, MOST_BASKETS), bench.folder / "out"
    arguments = {"folder": str(folder), "confidence": CONFIDENCE}
    count = int(SUPPORT * MOST_BASKETS)
    rules = mine_tables(spark, folder, settings_of(SUPPORT), out).rules
    seconds = {}
    peers = {
        "PyFIM": ("mine_fim_tables", {"count": count}),
        "rusket (fpgrowth)": ("mine_rusket", {"support": SUPPORT, "method": "fpgrowth"}),
        "rusket (eclat)": ("mine_rusket", {"support": SUPPORT, "method": "eclat"}),
    }
    for name, (function, given) in peers.items():
        peer = bench.peer("itemset_miners", environment="rules", name=f"miner_{function}")
        try:
            found, cost = measure(partial(peer.call, function, arguments | given, limit=PEER_LIMIT))
            seconds[name] = cost.wall
            if found != rules:
                raise WrongResult(f"{rules:,} rules were found, {found:,} by {name}")
        except PeerLimit as limit:
            seconds[name] = limit.seconds
        peer.stop()
        bench.note(f"{name}: {seconds[name]:.1f} s")
    ours = median(measure(lambda: mine_tables(spark, folder, settings_of(SUPPORT), out))[1].wall for _ in range(3))
    best = min(seconds, key=seconds.__getitem__)
    note = f"ours {ours:.2f} s; {', '.join(f'{name} {s:.1f} s' for name, s in seconds.items())}, one run each"
    return {VS_BEST_PEER: Reading(seconds[best] / ours, note)}


def against_single_process(bench: Bench) -> Mapping[str, Reading]:
    """Measure ten million baskets with Spark beside the same kernels on one thread of a process without it."""
    spark, folder, out = bench.keep(open_session()), t10i4(bench, MOST_BASKETS), bench.folder / "out"
    settings, alone = settings_of(SUPPORT), bench.folder / "alone"

    def read() -> pa.Table:
        return pq.read_table(folder, use_threads=False)

    def run() -> int:
        shutil.rmtree(alone, ignore_errors=True)
        return mine_all(read, settings, threads=1, scratch=str(alone)).rules

    def verify(ours: Any, theirs: int | None) -> None:
        if ours.rules != theirs:
            raise WrongResult(f"{ours.rules:,} rules were found, {theirs:,} in one process")

    comparison: Comparison = bench.compare(
        lambda: mine_tables(spark, folder, settings, out), run, verify=verify, rounds=3
    )
    return {VS_SINGLE: comparison.speedup("wall")}


Measure = Callable[[Bench], Mapping[str, Reading]]

COSTS = [
    Case((Goal(FIXED, 6.0, better="lower", unit="s"),), "a goal", fixed_seconds, seconds=60),
    Case((Goal(VS_BEST_PEER, 1.0),), "the fastest of PyFIM and rusket", against_best_peer, seconds=400),
    Case((Goal(VS_SINGLE, 0.75),), "one thread without Spark", against_single_process, seconds=120),
    Case(
        (
            Goal(GROWTH, 2.1, better="lower"),
            *(
                Goal(f"{GROWTH_SECONDS}.support {support}.{baskets}", unit="s", better="lower")
                for support in SUPPORTS
                for baskets in SIZES
            ),
        ),
        "half as many baskets",
        growth,
        seconds=300,
    ),
]
