"""What the benchmark of association rules reads: baskets as Parquet files, each with one column `items`, a list."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from kinfolk.samples.fetch import fetch_samples
from kinfolk.samples.quest import draw_baskets

from .harness import Bench

QUEST_SEED = 10
BASKETS_OF_A_FILE = 1_250_000
RETAIL_BASKETS = 40_077
MUSHROOM_ROWS, MUSHROOM_ATTRIBUTES = 8_124, 23
KIND_SHARES = (0.4, 0.22, 0.12, 0.09, 0.07, 0.05, 0.03, 0.02)
OWN_SHARE = 0.11
"""Kinds of mushrooms and their shares, and of how many of a kind an attribute is another one."""
KINDS = len(KIND_SHARES)


def t10i4(bench: Bench, baskets: int) -> Path:
    """T10I4 with so many baskets, of numbers."""

    def make(folder: Path) -> None:
        write_lists(folder, draw_baskets(baskets, seed=QUEST_SEED))

    return bench.data(f"t10i4-{baskets}", make)


def online_retail(bench: Bench) -> Path:
    """Two years of a shop's invoices, of stock codes: sold, not cancelled, at a price, no line twice."""

    def make(folder: Path) -> None:
        with lzma.open(fetch_samples()["retail"] / "online_retail.csv.xz") as file:
            # All columns as texts: some stock codes look like numbers.
            columns = ["Invoice", "StockCode", "Quantity", "Price"]
            types = dict.fromkeys(columns, pa.string())
            lines = pacsv.read_csv(
                file, convert_options=pacsv.ConvertOptions(include_columns=columns, column_types=types)
            )
        sold = pc.and_(
            pc.greater(lines["Quantity"].cast(pa.float64()), 0), pc.greater(lines["Price"].cast(pa.float64()), 0)
        )
        kept = lines.filter(pc.and_(sold, pc.invert(pc.starts_with(lines["Invoice"], "C"))))
        unique = kept.group_by(["Invoice", "StockCode"], use_threads=False).aggregate([])
        grouped = unique.group_by("Invoice", use_threads=False).aggregate([("StockCode", "list")])
        write_lists(folder, [pa.array(grouped["StockCode_list"].combine_chunks(), pa.list_(pa.string()))])

    return bench.data("online-retail", make)


def mushrooms(bench: Bench) -> Path:
    """As many rows and attributes as the mushrooms that miners are compared on have, each row of some kind.

    A kind has its own value of each attribute, which nearly all of its rows have; the others draw their own. Values of
    low numbers are common, so that kinds share many. More than a million itemsets are in a fifth of the rows.
    """

    def make(folder: Path) -> None:
        random = np.random.default_rng(23)
        values = 2 + random.integers(0, 8, MUSHROOM_ATTRIBUTES)
        typical = np.array([[_skewed(random, count) for count in values] for _ in range(KINDS)])
        kind = random.choice(KINDS, MUSHROOM_ROWS, p=KIND_SHARES)
        rows = typical[kind]
        for attribute, count in enumerate(values):
            own = random.random(MUSHROOM_ROWS) < OWN_SHARE
            rows[own, attribute] = [_skewed(random, count) for _ in range(int(own.sum()))]
        items = rows + np.concatenate([[0], np.cumsum(values)[:-1]])
        offsets = np.arange(MUSHROOM_ROWS + 1, dtype=np.int32) * MUSHROOM_ATTRIBUTES
        write_lists(folder, [pa.ListArray.from_arrays(pa.array(offsets), pa.array(items.ravel().astype(np.int32)))])

    return bench.data("mushrooms", make)


def _skewed(random: np.random.Generator, count: int) -> int:
    """One of so many values, each half as likely as the one before."""
    return int(min(random.geometric(0.5), count) - 1)


def write_lists(folder: Path, parts: Iterator[pa.ListArray] | list[pa.ListArray]) -> None:
    """Write lists as files of at most so many baskets."""
    number = 0
    for part in parts:
        for first in range(0, len(part), BASKETS_OF_A_FILE):
            table = pa.table({"items": part.slice(first, BASKETS_OF_A_FILE)})
            pq.write_table(table, folder / f"part-{number:03d}.parquet", compression="zstd")
            number += 1


def read_lists(folder: Path) -> pa.ChunkedArray:
    """The baskets of a folder."""
    return pq.read_table(folder)["items"]
