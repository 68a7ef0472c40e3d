"""Other miners in memory, one process each: PyFIM, mlxtend, efficient-apriori and rusket."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import fim
import numpy as np
import pyarrow.parquet as pq
from serving import serve

BASKETS: list[list[Any]] = []
SPECTRUM = "="
"""A report that counts the sets of each size and support, and lists none of them."""
ECLAT_VARIANTS = "eitrmpdlo"


def open_baskets(folder: str) -> int:
    """Read baskets as lists; return how many."""
    BASKETS[:] = pq.read_table(folder)["items"].to_pylist()
    return len(BASKETS)


def time_call(function: Callable[..., Any], **options: Any) -> float:
    """Seconds of mining alone: those of a call less those of one that finds nothing, which only reads the baskets."""
    began = time.perf_counter()
    function(BASKETS, **options)
    taken = time.perf_counter() - began
    began = time.perf_counter()
    function(BASKETS, **options | {"supp": -len(BASKETS) - 1})
    return taken - (time.perf_counter() - began)


def mine_fim(algorithm: str, variant: str, target: str, count: int) -> float:
    """Let one of PyFIM's algorithms count the sets in so many baskets; return the seconds."""
    options = {"target": target, "supp": -count, "report": SPECTRUM, "algo": variant}
    return time_call(getattr(fim, algorithm), **options)


def find_best(target: str, count: int) -> dict[str, Any]:
    """The fastest of PyFIM's algorithms, and its seconds."""
    tried = [("eclat", variant) for variant in ECLAT_VARIANTS] + [("fpgrowth", variant) for variant in "sctd"]
    timed = []
    for algorithm, variant in tried:
        try:
            timed.append((mine_fim(algorithm, variant, target, count), algorithm, variant))
        except (ValueError, RuntimeError):
            # Not every variant can look for every kind of sets.
            continue
    seconds, algorithm, variant = min(timed)
    return {"seconds": seconds, "algorithm": algorithm, "variant": variant}


def spectrum(target: str, count: int, algorithm: str, variant: str) -> dict[str, int]:
    """How many sets there are of each size."""
    found: dict[str, int] = {}
    options = {"target": target, "supp": -count, "report": SPECTRUM, "algo": variant}
    for size, _, sets in getattr(fim, algorithm)(BASKETS, **options):
        found[str(size)] = found.get(str(size), 0) + int(sets)
    return found


def derive_fim_rules(count: int, confidence: float) -> dict[str, float]:
    """Let PyFIM find all rules to one item; return how many, and the seconds beyond those of reading."""
    began = time.perf_counter()
    rules = fim.arules(BASKETS, supp=-count, conf=100 * confidence, report="a", mode="o", zmin=2)
    taken = time.perf_counter() - began
    began = time.perf_counter()
    fim.arules(BASKETS, supp=-len(BASKETS) - 1, conf=100 * confidence, report="a", mode="o", zmin=2)
    return {"rules": len(rules), "seconds": taken - (time.perf_counter() - began)}


def list_sets(target: str, count: int, algorithm: str) -> list[list[Any]]:
    """The sets in so many baskets, by PyFIM: of each its items and its baskets."""
    found = getattr(fim, algorithm)(BASKETS, target=target, supp=-count, report="a")
    return [[list(items), int(baskets)] for items, baskets in found]


def measure_rules(support: float, confidence: float) -> list[dict[str, Any]]:
    """The rules of all baskets, to items in any number, with all measures that mlxtend has."""
    from mlxtend.frequent_patterns import association_rules, fpgrowth

    rules = association_rules(fpgrowth(tabulate(), min_support=support, use_colnames=True), min_threshold=confidence)
    sides = {name: rules.pop(name).map(sorted) for name in ("antecedents", "consequents")}
    return rules.astype(float).assign(**sides).replace({np.inf: None, np.nan: None}).to_dict("records")


def tabulate() -> Any:
    """The baskets as mlxtend takes them, a column for each item."""
    import pandas as pd
    from mlxtend.preprocessing import TransactionEncoder

    encoder = TransactionEncoder()
    held = encoder.fit(BASKETS).transform(BASKETS, sparse=True)
    return pd.DataFrame.sparse.from_spmatrix(held, columns=[str(item) for item in encoder.columns_])


def mine_mlxtend(folder: str, support: float, confidence: float) -> int:
    """From Parquet to rules by mlxtend's FP-growth; return how many."""
    from mlxtend.frequent_patterns import association_rules, fpgrowth

    open_baskets(folder)
    sets = fpgrowth(tabulate(), min_support=support, use_colnames=True)
    return len(association_rules(sets, metric="confidence", min_threshold=confidence))


def mine_efficient_apriori(folder: str, support: float, confidence: float) -> int:
    """From Parquet to rules by efficient-apriori; return how many."""
    from efficient_apriori import apriori

    baskets = pq.read_table(folder)["items"].to_pylist()
    return len(apriori(baskets, min_support=support, min_confidence=confidence)[1])


def mine_fim_tables(folder: str, count: int, confidence: float) -> int:
    """From Parquet to rules by PyFIM; return how many."""
    baskets = pq.read_table(folder)["items"].to_pylist()
    return len(fim.arules(baskets, supp=-count, conf=100 * confidence, report="a", mode="o", zmin=2))


def mine_rusket(folder: str, support: float, confidence: float, method: str = "fpgrowth") -> int:
    """From Parquet to rules by rusket; return how many lead to one item."""
    import rusket
    from scipy.sparse import csr_matrix

    lists = pq.read_table(folder)["items"].combine_chunks()
    if hasattr(lists, "chunks"):
        lists = lists.chunk(0)
    encoded = lists.values.dictionary_encode()
    # rusket writes to what it is given.
    codes, starts = encoded.indices.to_numpy().copy(), lists.offsets.to_numpy().copy()
    held = csr_matrix((np.ones(len(codes), np.uint8), codes, starts), shape=(len(lists), len(encoded.dictionary)))
    sets = rusket.mine(held, min_support=support, use_colnames=False, method=method)
    rules = rusket.association_rules(sets, num_itemsets=len(lists), metric="confidence", min_threshold=confidence)
    return int((rules["consequents"].map(len) == 1).sum())


serve(
    {
        "open_baskets": open_baskets,
        "find_best": find_best,
        "list_sets": list_sets,
        "measure_rules": measure_rules,
        "mine_fim": mine_fim,
        "spectrum": spectrum,
        "derive_fim_rules": derive_fim_rules,
        "mine_mlxtend": mine_mlxtend,
        "mine_efficient_apriori": mine_efficient_apriori,
        "mine_fim_tables": mine_fim_tables,
        "mine_rusket": mine_rusket,
    }
)
