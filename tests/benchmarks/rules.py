"""Association rules beside MLlib's FPGrowth, PyFIM and other miners, and beside themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from kinfolk.association.task import Report

from ._rules_chance import CHANCE
from ._rules_costs import COSTS
from ._rules_data import mushrooms, online_retail, read_lists, t10i4
from ._rules_nights import NIGHTS
from ._rules_sides import (
    CONFIDENCE,
    ROUNDS,
    as_numbers,
    count_of,
    derive_arrays,
    mine_closed,
    mine_tables,
    open_session,
    require_same,
    require_sizes,
    search_arrays,
    settings_of,
    sizes_of,
    sizes_of_closed,
    time_in_turns,
    total,
)
from .harness import Bench, Case, Comparison, Cost, Goal, PeerLimit, PeerProcess, Reading, WrongResult
from .harness.measuring import LONG_RUN_SECONDS, measure

MLLIB_LIMIT = 300.0
MLLIB_PARTITIONS = (2, 8)
DATASETS: dict[str, Callable[[Bench], Path]] = {
    "t10i4d100k": partial(t10i4, baskets=100_000),
    "t10i4d1m": partial(t10i4, baskets=1_000_000),
    "online_retail": online_retail,
    "dense": mushrooms,
}
T10I4_SUPPORTS, RETAIL_SUPPORTS = (0.01, 0.005, 0.002, 0.001), (0.01, 0.005, 0.002)

VS_MLLIB = "rules.vs_mllib"
RULES_VS_PYFIM = "rules.kernel_rules_vs_pyfim"
VS_OTHERS = "rules.vs"

KERNELS = (
    *((f"rules.kernel_vs_pyfim.t10i4d100k.{s}", "t10i4d100k", s, False, 0.35) for s in T10I4_SUPPORTS),
    *((f"rules.kernel_vs_pyfim.online_retail.{s}", "online_retail", s, False, 0.7) for s in RETAIL_SUPPORTS),
    ("rules.dense_vs_pyfim.all.0.3", "dense", 0.3, False, 1.0),
    ("rules.dense_vs_pyfim.all.0.2", "dense", 0.2, False, 1.2),
    ("rules.dense_vs_pyfim.closed.0.3", "dense", 0.3, True, 1.0),
    ("rules.dense_vs_pyfim.closed.0.2", "dense", 0.2, True, 1.0),
    ("rules.closed_vs_pyfim.online_retail.0.002", "online_retail", 0.002, True, 0.5),
)
"""Key, table, support, whether only closed sets are looked for, and the most of PyFIM's time that it should take."""

_best_partitions: dict[str, int] = {}


def against_mllib(bench: Bench, *, dataset: str, support: float) -> Mapping[str, Reading]:
    """Measure mining and rules from Parquet to Parquet beside MLlib.

    MLlib is given the better of 2 and 8 partitions, by the highest support of each table: both are tried there. Where
    it takes long, that is its only run.
    """
    spark, folder, out = bench.keep(open_session()), DATASETS[dataset](bench), bench.folder / "out"
    settings, target = settings_of(support), bench.folder / "mllib"
    arguments = {"source": str(folder), "target": str(target), "support": support, "confidence": CONFIDENCE}

    def mine(partitions: int) -> int:
        given = arguments | {"partitions": partitions}
        return int(open_mllib(bench).call("mine", given, limit=MLLIB_LIMIT))

    def run() -> Report:
        return mine_tables(spark, folder, settings, out)

    def verify(ours: Report, peer: int | None) -> None:
        if peer is not None:
            require_same(ours, target)

    asked = [_best_partitions[dataset]] if dataset in _best_partitions else MLLIB_PARTITIONS
    tried = try_partitions(bench, mine, asked)
    partitions = _best_partitions[dataset] = min(tried, key=lambda partitions: tried[partitions].peer[0].wall)
    comparison = tried[partitions]
    if comparison.peer[0].wall > LONG_RUN_SECONDS:
        # A worker of ours that waited for so long has ended: the run that is verified starts another one.
        is_written = not tried[asked[-1]].mark
        verify(run(), partitions if is_written else None)
        comparison = replace(comparison, ours=tuple(measure(run)[1] for _ in range(ROUNDS)))
    else:
        comparison = bench.compare(run, lambda: mine(partitions), verify=verify, rounds=2)
    reading = comparison.speedup("wall")
    return {f"{VS_MLLIB}.{dataset}.{support}": Reading(reading.value, f"{reading.note}; {partitions} partitions")}


def open_mllib(bench: Bench) -> PeerProcess:
    """MLlib in a session of its own, whose code is compiled and whose memory was touched."""
    mllib = bench.peer("mllib_rules")
    if not getattr(mllib, "is_warm", False):
        warm = {"source": str(t10i4(bench, 10_000)), "target": str(bench.folder / "warm")}
        mllib.call("mine", warm | {"support": 0.01, "confidence": CONFIDENCE, "partitions": 2})
        mllib.is_warm = True
    return mllib


def try_partitions(bench: Bench, mine: Callable[[int], int], asked: Sequence[int]) -> dict[int, Comparison]:
    """What MLlib takes with each of some numbers of partitions."""
    tried = {}
    for partitions in asked:
        try:
            cost, mark = measure(partial(mine, partitions))[1], ""
        except PeerLimit as limit:
            cost, mark = Cost(limit.seconds, limit.seconds), str(limit)
        tried[partitions] = Comparison((), (cost,), mark)
        bench.note(f"MLlib with {partitions} partitions: {cost.wall:.1f} s {mark}".rstrip())
    return tried


def kernel_against_pyfim(
    bench: Bench, *, key: str, dataset: str, support: float, is_closed: bool = False
) -> Mapping[str, Reading]:
    """Measure the search on one thread beside PyFIM's best algorithm, which lists nothing."""
    table = as_numbers(read_lists(DATASETS[dataset](bench)))
    fim, target, count = open_fim(bench, dataset), "c" if is_closed else "s", count_of(table, support)
    best = find_best(bench, fim, target, count)
    arguments = {"target": target, "count": count, **best}
    ours = sizes_of_closed(table, support) if is_closed else sizes_of(table, support)
    require_sizes(ours, fim.call("spectrum", arguments))
    search = mine_closed if is_closed else search_arrays
    comparison = time_in_turns(bench, partial(search, table, support), lambda: fim.call("mine_fim", arguments))
    return {key: with_choice(comparison.time_ratio("wall"), best)}


def open_fim(bench: Bench, dataset: str) -> PeerProcess:
    """PyFIM with the baskets of a table."""
    fim = bench.peer("itemset_miners", environment="rules", name=f"fim_{dataset}")
    fim.call("open_baskets", {"folder": str(DATASETS[dataset](bench))})
    return fim


def find_best(bench: Bench, fim: PeerProcess, target: str, count: int) -> dict[str, str]:
    """PyFIM's fastest algorithm for this."""
    bench.note("looking for PyFIM's fastest algorithm")
    best = fim.call("find_best", {"target": target, "count": count})
    return {name: best[name] for name in ("algorithm", "variant")}


def with_choice(reading: Reading, best: Mapping[str, str]) -> Reading:
    """Say which algorithm the peer took."""
    return Reading(reading.value, f"{reading.note}; {best['algorithm']} {best['variant']}")


def rules_against_pyfim(bench: Bench, *, dataset: str, support: float) -> Mapping[str, Reading]:
    """Measure the search and all rules to one item on one thread beside PyFIM's."""
    table = as_numbers(read_lists(DATASETS[dataset](bench)))
    fim, count = open_fim(bench, dataset), count_of(table, support)
    arguments = {"count": count, "confidence": CONFIDENCE}
    ours, theirs = total(derive_arrays(table, support)), fim.call("derive_fim_rules", arguments)["rules"]
    if ours != theirs:
        raise WrongResult(f"{ours:,} rules were found, {theirs:,} by the peer")
    comparison = time_in_turns(
        bench,
        lambda: derive_arrays(table, support),
        lambda: fim.call("derive_fim_rules", arguments)["seconds"],
    )
    return {f"{RULES_VS_PYFIM}.{dataset}.{support}": comparison.speedup("wall")}


def others_against_us(bench: Bench, *, name: str, dataset: str, support: float) -> Mapping[str, Reading]:
    """Measure mining and rules from Parquet beside another library, from Parquet to rules in memory."""
    spark, folder, out = bench.keep(open_session()), DATASETS[dataset](bench), bench.folder / "out"
    peer = bench.peer("itemset_miners", environment="rules")
    arguments = {"folder": str(folder), "support": support, "confidence": CONFIDENCE}
    comparison = bench.compare(
        lambda: mine_tables(spark, folder, settings_of(support), out),
        lambda: peer.call(f"mine_{name}", arguments, limit=MLLIB_LIMIT),
        verify=lambda ours, theirs: None,
        rounds=2,
    )
    return {f"{VS_OTHERS}_{name}.{dataset}.{support}": comparison.speedup("wall")}


CASES = [
    *(
        Case(
            (Goal(f"{VS_MLLIB}.{dataset}.{support}", goal),),
            "MLlib's FPGrowth",
            partial(against_mllib, dataset=dataset, support=support),
            seconds=300,
        )
        for dataset, supports, goal in (
            ("t10i4d100k", T10I4_SUPPORTS, 40.0),
            ("online_retail", RETAIL_SUPPORTS, 40.0),
            ("t10i4d1m", (0.005,), 100.0),
        )
        for support in supports
    ),
    *(
        Case(
            (Goal(key, goal, better="lower"),),
            "PyFIM, mining without output",
            partial(kernel_against_pyfim, key=key, dataset=dataset, support=support, is_closed=is_closed),
            seconds=20,
        )
        for key, dataset, support, is_closed, goal in KERNELS
    ),
    *(
        Case(
            (Goal(f"{RULES_VS_PYFIM}.{dataset}.{support}", 5.0),),
            "PyFIM's rules",
            partial(rules_against_pyfim, dataset=dataset, support=support),
            seconds=30,
        )
        for dataset, support in (("t10i4d100k", 0.001), ("online_retail", 0.002))
    ),
    *(
        Case(
            (Goal(f"{VS_OTHERS}_{name}.{dataset}.0.01"),),
            name.replace("_", "-"),
            partial(others_against_us, name=name, dataset=dataset, support=0.01),
            seconds=60,
        )
        for name in ("mlxtend", "efficient_apriori", "rusket")
        for dataset in ("t10i4d100k", "online_retail")
    ),
    *COSTS,
    *NIGHTS,
    *CHANCE,
]
