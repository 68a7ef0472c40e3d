"""The feed beside a raw scan of the same row groups, Petastorm's own readers, and torch's DataLoader."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from kinfolk.feed.order import Shard
from kinfolk.feed.snapshot import FeedPlan
from kinfolk.settings import Mixing

from ._feed_sides import (
    ALL,
    BATCH_SIZE,
    MEMORY_BYTES,
    NARROW,
    THREADS,
    WINDOW_ROW_GROUPS,
    Epoch,
    expected_epoch,
    file_of,
    make_loader,
    plan_table,
    read_epoch,
    require_equal,
    scan,
    write_rows,
    write_small_files,
    write_sorted,
)
from .harness import Bench, Case, Comparison, Goal, Reading, WrongResult, speed_goals

ROWS = 1_000_000
ROW_GROUP = 1_950
"""Rows of a row group of some 7.5 MB, so that 32 of them are a window of 240 MiB: two fill the memory of the feed."""
PETASTORM_QUEUE_ROWS = 20_000
SMALL_FILES = 2_000
RANKS = 4
EPOCHS = 20
TRAINED_EPOCHS = 3
SORTED_GROUPS, SORTED_LABELS, SORTED_ROWS, SORTED_BATCH = 64, 16, 2_000, 256

VS_SCAN_ROW_GROUPS = "feed.vs_scan.row_group_shuffle"
VS_SCAN_WINDOW = "feed.vs_scan.window_shuffle"
VS_MAPPED_SCAN = "feed.vs_mapped_scan.window_shuffle"
VS_BATCHED = "feed.vs_petastorm_batched"
VS_LOADER = "feed.vs_petastorm_loader"
VS_TORCH = "feed.vs_torch_loader"
VS_FROZEN = "feed.vs_frozen_batch"
STARTUP = "feed.startup_vs_petastorm"
PEAK_MEMORY = "feed.peak_memory"
MEMORY_GROWTH = "feed.memory_growth"
READ_SHARE = "feed.read_share_4_ranks"
LABEL_MIXING = "feed.label_mixing"


def plan_rows(bench: Bench) -> FeedPlan:
    """Pin the large table."""
    make = partial(write_rows, rows=ROWS, row_group=ROW_GROUP)
    return plan_table(bench.data(f"rows-{ROWS}-groups-{ROW_GROUP}", make))


def compare_epochs(bench: Bench, plan: FeedPlan, *, columns: tuple[str, ...], mixing: Mixing, peer: Any) -> Comparison:
    """Verify an epoch of both sides value by value, then compare how long they take; ours runs as it does in a rank."""
    expected = expected_epoch(plan, columns)
    process = bench.peer("feed_process", name="feed_process_alone")
    process.call("open_loader", {"plan": plan.to_json(), "columns": columns, "mixing": mixing})

    def read_ours(*, checked: bool = False) -> Epoch:
        return Epoch(**process.call("read_rows", {"checked": checked}))

    require_equal("the feed", read_ours(checked=True), expected)

    def verify(ours: Epoch, theirs: Epoch | None) -> None:
        for side, found in (("the feed", ours), ("the peer", theirs)):
            if found is not None:
                require_equal(side, found, Epoch(expected.rows, expected.ids))

    comparison = bench.compare(read_ours, peer, verify=verify)
    process.close()
    return comparison


def against_scan(bench: Bench, *, mixing: Mixing, key: str, is_mapped: bool = False) -> Mapping[str, Reading]:
    """Measure the feed of all columns beside a raw scan."""
    plan = plan_rows(bench)
    peer = partial(scan, plan, is_mapped=is_mapped)
    return compare_epochs(bench, plan, columns=ALL, mixing=mixing, peer=peer).speedups(key)


def petastorm_arguments(plan: FeedPlan) -> dict[str, Any]:
    """Say to Petastorm's loaders what they read and how."""
    return {
        "urls": [file_of(plan, file).as_uri() for file in range(len(plan.files))],
        "batch_size": BATCH_SIZE,
        "workers": THREADS,
        "queue": PETASTORM_QUEUE_ROWS,
    }


def against_batched(bench: Bench) -> Mapping[str, Reading]:
    """Measure the feed beside BatchedDataLoader with a shuffling queue."""
    plan = plan_rows(bench)
    petastorm = bench.peer("petastorm_readers", environment="petastorm")
    arguments = petastorm_arguments(plan)
    checked = Epoch(**petastorm.call("read_batched", arguments | {"checked": True}))
    require_equal("Petastorm", checked, expected_epoch(plan, NARROW))

    def read_peer() -> Epoch:
        return Epoch(**petastorm.call("read_batched", arguments | {"checked": False}))

    return compare_epochs(bench, plan, columns=NARROW, mixing="window", peer=read_peer).speedups(VS_BATCHED)


def against_loader(bench: Bench) -> Mapping[str, Reading]:
    """Measure the feed beside Petastorm's DataLoader, which goes row by row."""
    plan = plan_rows(bench)
    petastorm = bench.peer("petastorm_readers", environment="petastorm")
    arguments = petastorm_arguments(plan)

    def read_peer() -> Epoch:
        return Epoch(**petastorm.call("read_rows", arguments))

    return compare_epochs(bench, plan, columns=NARROW, mixing="window", peer=read_peer).speedups(VS_LOADER)


def against_torch(bench: Bench) -> Mapping[str, Reading]:
    """Measure the feed beside torch's DataLoader with two workers, whose dataset yields ready batches."""
    plan = plan_rows(bench)
    loader = bench.peer("torch_loader")
    groups = [(str(file_of(plan, group.file)), group.ordinal) for group in plan.row_groups]
    loader.call("open_loader", {"groups": groups, "columns": ALL, "batch_size": BATCH_SIZE, "workers": THREADS})

    def read_peer() -> Epoch:
        return Epoch(**loader.call("read_epoch", {}))

    comparison = compare_epochs(bench, plan, columns=ALL, mixing="window", peer=read_peer)
    loader.close()
    return {VS_TORCH: comparison.speedup("wall")}


def against_frozen(bench: Bench) -> Mapping[str, Reading]:
    """Measure the steps of a training that is fed beside as many on one batch that never changes."""
    plan = plan_rows(bench)
    process = bench.peer("feed_process")
    arguments = {"plan": plan.to_json(), "epochs": TRAINED_EPOCHS}
    rows = TRAINED_EPOCHS * ROWS

    def verify(fed: int, frozen: int | None) -> None:
        if fed != rows or frozen != rows:
            raise WrongResult(f"{fed} rows were trained on, and {frozen} of a frozen batch; {rows} were to come")

    comparison = bench.compare(
        lambda: process.call("train_fed", arguments), lambda: process.call("train_frozen", arguments), verify=verify
    )
    return {VS_FROZEN: comparison.speedup("wall")}


def start_up(bench: Bench) -> Mapping[str, Reading]:
    """Measure the time until the last of four ranks has its first batch of a table of many small files."""
    folder = bench.data(f"files-{SMALL_FILES}", partial(write_small_files, files=SMALL_FILES))
    ours = [bench.peer("feed_process", name=f"feed_process_{rank}") for rank in range(RANKS)]
    peers = [
        bench.peer("petastorm_readers", environment="petastorm", name=f"petastorm_readers_{rank}")
        for rank in range(RANKS)
    ]

    def start_ours() -> list[int]:
        plan = plan_table(folder).to_json()
        return call_ranks(ours, "first_batch", {"plan": plan})

    def start_peers() -> list[int]:
        return call_ranks(peers, "first_batch", {"url": folder.as_uri(), "batch_size": BATCH_SIZE})

    def verify(of_ours: list[int], of_peers: list[int] | None) -> None:
        if of_ours != [BATCH_SIZE // RANKS] * RANKS or of_peers is None or min(of_peers) < 1:
            raise WrongResult(f"first batches of {of_ours} and {of_peers} rows")

    return {STARTUP: bench.compare(start_ours, start_peers, verify=verify).speedup("wall")}


def call_ranks(processes: list[Any], function: str, arguments: Mapping[str, Any]) -> list[int]:
    """Call a function in all processes at once, each as its rank."""
    with ThreadPoolExecutor(len(processes)) as threads:
        calls = [
            threads.submit(process.call, function, {**arguments, "rank": rank, "ranks": len(processes)})
            for rank, process in enumerate(processes)
        ]
        return [call.result() for call in calls]


def memory(bench: Bench) -> Mapping[str, Reading]:
    """Measure how much memory 20 epochs take, beyond what the imports took."""
    plan = plan_rows(bench)
    process = bench.peer("feed_process", name="feed_memory")
    found = process.call("measure_memory", {"plan": plan.to_json(), "epochs": EPOCHS})
    if found["rows"] != [ROWS] * EPOCHS:
        raise WrongResult(f"epochs of {set(found['rows'])} rows; the table has {ROWS}")
    peak = found["peak"] / MEMORY_BYTES
    first, last = found["resident"][1], found["resident"][-1]
    return {
        PEAK_MEMORY: Reading(peak, f"{found['peak'] / 2**20:.0f} MiB over {MEMORY_BYTES / 2**20:.0f} MiB"),
        MEMORY_GROWTH: Reading(last / first, f"{last / 2**20:.0f} MiB over {first / 2**20:.0f} MiB"),
    }


def read_share(bench: Bench) -> Mapping[str, Reading]:
    """Measure how much more four ranks read than one does."""
    plan = plan_rows(bench)
    read = {}
    for ranks in (1, RANKS):
        loaders = [make_loader(plan, shard=Shard(rank, ranks, BATCH_SIZE)) for rank in range(ranks)]
        rows = sum(read_epoch(loader).rows for loader in loaders)
        if rows != ROWS:
            raise WrongResult(f"{ranks} ranks were fed {rows} rows; the table has {ROWS}")
        read[ranks] = sum(loader.numbers.bytes for loader in loaders)
    note = f"{read[RANKS] / 2**20:,.0f} MiB over {read[1] / 2**20:,.0f} MiB"
    return {READ_SHARE: Reading(read[RANKS] / read[1], note)}


def label_mixing(bench: Bench) -> Mapping[str, Reading]:
    """Measure distinct labels per batch of a table sorted by them, over those of a permutation of all rows."""
    make = partial(write_sorted, row_groups=SORTED_GROUPS, labels=SORTED_LABELS, rows=SORTED_ROWS)
    plan = plan_table(bench.data(f"sorted-{SORTED_GROUPS}-{SORTED_LABELS}-{SORTED_ROWS}", make))
    loader = make_loader(plan, columns=("id", "label"), shard=Shard(0, 1, SORTED_BATCH))
    ours = [
        len(np.unique(batch.columns["label"].values_B[batch.is_row_B]))
        for epoch in range(1, 6)
        for batch in loader.epoch(epoch)
        if bool(batch.is_row_B.all())
    ]
    count = SORTED_GROUPS * SORTED_ROWS
    order = np.random.default_rng(0).permutation(count) * SORTED_LABELS // count
    best = [len(np.unique(part)) for part in order[: count // SORTED_BATCH * SORTED_BATCH].reshape(-1, SORTED_BATCH)]
    note = f"{np.mean(ours):.2f} labels a batch over {np.mean(best):.2f}, windows of {WINDOW_ROW_GROUPS} row groups"
    return {LABEL_MIXING: Reading(float(np.mean(ours) / np.mean(best)), note)}


CASES = [
    Case(
        speed_goals(VS_SCAN_ROW_GROUPS, 0.80),
        "raw pyarrow scan",
        partial(against_scan, mixing="row_groups", key=VS_SCAN_ROW_GROUPS),
        seconds=90,
    ),
    Case(
        speed_goals(VS_SCAN_WINDOW, 0.50),
        "raw pyarrow scan",
        partial(against_scan, mixing="window", key=VS_SCAN_WINDOW),
        seconds=60,
    ),
    Case(
        speed_goals(VS_MAPPED_SCAN, None),
        "raw pyarrow scan of mapped files",
        partial(against_scan, mixing="window", key=VS_MAPPED_SCAN, is_mapped=True),
        seconds=60,
    ),
    Case(speed_goals(VS_BATCHED, 4.0), "Petastorm's BatchedDataLoader", against_batched, seconds=120),
    Case(speed_goals(VS_LOADER, 10.0), "Petastorm's DataLoader", against_loader, seconds=180),
    Case((Goal(VS_TORCH, 1.5),), "torch's DataLoader, 2 workers", against_torch, seconds=60),
    Case((Goal(VS_FROZEN, 0.95),), "the same step on one frozen batch", against_frozen, seconds=120),
    Case((Goal(STARTUP, 10.0),), "make_batch_reader, 4 ranks", start_up, seconds=90),
    Case(
        (Goal(PEAK_MEMORY, 1.2, better="lower"), Goal(MEMORY_GROWTH, 1.05, better="lower")),
        "the configured memory; epoch 2",
        memory,
        seconds=90,
    ),
    Case((Goal(READ_SHARE, 1.2, better="lower"),), "one rank", read_share, seconds=30),
    Case((Goal(LABEL_MIXING, 0.9),), "a permutation of all rows", label_mixing, seconds=5),
]
