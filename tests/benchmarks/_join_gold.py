"""How well what a join finds agrees with what people know: two translations of verses, two libraries' records.

There is nothing here to be faster than: the figures have no goal, and stand in docs/results.md with their settings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, fields

import pyarrow as pa
import pyarrow.compute as pc

from kinfolk.samples.lookalikes import read_dblp_acm, read_verses
from kinfolk.settings import JoinSettings, TokenSettings
from kinfolk.similarity.join import JoinResult, similar_pairs

from ._join_sides import open_session
from .harness import Bench, Case, Goal, Reading

SETTINGS = {
    "verses": JoinSettings(
        measure="jaccard", threshold=0.4, neighbors=1, tokens=TokenSettings(unit="characters", length=4)
    ),
    "dblp_acm": JoinSettings(
        measure="jaccard", threshold=0.5, neighbors=1, tokens=TokenSettings(unit="characters", length=4)
    ),
}

GOLD = "join.gold"


@dataclass(frozen=True)
class Agreement:
    """Shares of the known pairs that were found, and of the found ones that are known.

    First of all pairs above the threshold, then of those that have the nearest item of the left one.
    """

    recall: float
    precision: float
    nearest_recall: float
    nearest_precision: float


def against_verses(bench: Bench) -> Mapping[str, Reading]:
    """Join the verses of the King James Version with those of the American Standard Version."""
    verses = read_verses()
    kjv, asv = (pa.table({"item_id": verses["verse_id"], "text": verses[name]}) for name in ("kjv", "asv"))
    return against_gold(bench, "verses", kjv, asv, {(verse, verse) for verse in verses["verse_id"].to_pylist()})


def against_records(bench: Bench) -> Mapping[str, Reading]:
    """Join the publications that DBLP lists with those that ACM lists."""
    dblp, acm, same = read_dblp_acm()
    known = {
        (str(left), str(right))
        for left, right in zip(*(same[name].to_pylist() for name in ("id1", "id2")), strict=True)
    }
    return against_gold(bench, "dblp_acm", describe_records(dblp), describe_records(acm), known)


def describe_records(records: pa.Table) -> pa.Table:
    """Each record as one text: title, authors and year."""
    year = records["year"].cast(pa.string())
    text = pc.binary_join_element_wise(records["title"], records["authors"], year, " ", null_handling="replace")
    return pa.table({"item_id": records["_id"].cast(pa.string()), "text": text})


def against_gold(
    bench: Bench, name: str, left: pa.Table, right: pa.Table, known: set[tuple[str, str]]
) -> Mapping[str, Reading]:
    """Join two tables of texts, and compare the pairs found with those that are known."""
    spark, settings = bench.keep(open_session()), SETTINGS[name]
    frames = [spark.createDataFrame(table) for table in (left, right)]
    with closing(similar_pairs(*frames, settings=settings)) as found:
        measured = measure_agreement(found, known)
    note = (
        f"{settings.measure} of {settings.tokens.length} {settings.tokens.unit} from {settings.threshold} on; "
        f"{len(known):,} known pairs of {left.num_rows:,} and {right.num_rows:,} rows"
    )
    return {f"{GOLD}.{name}.{figure}": Reading(value, note) for figure, value in asdict(measured).items()}


def measure_agreement(found: JoinResult, known: set[tuple[str, str]]) -> Agreement:
    """Compare what was found between two tables with known pairs; a pair of representatives is all of their copies'."""
    stands_for = {(row.side, row.item_id): row.representative_id for row in found.copies.collect()}
    copies = Counter((side, representative) for (side, _), representative in stands_for.items())
    known_of = Counter(
        (stands_for.get(("left", left), left), stands_for.get(("right", right), right)) for left, right in known
    )

    def agree(pairs: set[tuple[str, str]]) -> tuple[float, float]:
        right = sum(known_of[pair] for pair in pairs)
        claimed = sum((1 + copies["left", left]) * (1 + copies["right", right]) for left, right in pairs)
        return right / len(known), right / max(1, claimed)

    pairs = {(row.left_id, row.right_id) for row in found.pairs.collect()}
    nearest = {(row.item_id, row.neighbor_id) for row in found.neighbors.collect()}
    return Agreement(*agree(pairs), *agree(pairs & nearest))


GOLDS = [
    Case(
        tuple(Goal(f"{GOLD}.{name}.{figure.name}") for figure in fields(Agreement)),
        "what people know",
        function,
        seconds=20,
    )
    for name, function in (("verses", against_verses), ("dblp_acm", against_records))
]
