"""What one Spark task does: it reads all baskets, mines them, and writes itemsets and rules into files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial

import pyarrow as pa

from kinfolk.association.baskets import Baskets
from kinfolk.association.changes import STATE, Known, update
from kinfolk.association.evidence import Evidence, choose_strata, gather_evidence, hold_out, tally_strata
from kinfolk.association.forecast import count_least, find_least
from kinfolk.association.kernel import search_itemsets
from kinfolk.association.labels import Labels
from kinfolk.association.lattice import Lattice, link_subsets, mark_sets
from kinfolk.association.selection import choose_rules, choose_sets
from kinfolk.association.taxonomy import Taxonomy, encode_extended, extend_table, require_categories
from kinfolk.association.tree import Limits
from kinfolk.errors import DataError
from kinfolk.settings import AssociationSettings
from kinfolk.tasks.files import fill_file, write_rows
from kinfolk.tasks.reports import Clock


@dataclass(frozen=True)
class Report:
    """What a task has to say: the files it wrote, what it counted, and how long each step took.

    At least `least` baskets hold a frequent itemset, and `border` one that is known. `found` are all frequent ones,
    `itemsets` those that were written. So many `tasks` shared the baskets. `disputed` items came with
    several categories.
    """

    files: dict[str, str]
    basket_count: int
    least: int
    border: int
    items: int
    found: int
    itemsets: int
    rules: int
    seconds: dict[str, float]
    tasks: int = 1
    disputed: int = 0

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Report:
        """Read a report back."""
        return Report(**json.loads(text))


def mine_all(
    read: Callable[[], pa.Table],
    settings: AssociationSettings,
    *,
    threads: int,
    scratch: str,
    categories: pa.Table | None = None,
) -> Report:
    """Mine what is read: a table of lists or of lines, as `extend_table` takes it and the categories of items.

    Raises DataError where there are more itemsets or rules than the budgets allow, and where no item has a category
    although they count.
    """
    clock = Clock()
    found, evidence = find_all(read, settings, threads=threads, clock=clock, categories=categories)
    require_categories(found.taxonomy, found.header.basket_count)
    return write_found(found, evidence, settings, scratch=scratch, clock=clock)


def find_all(
    read: Callable[[], pa.Table],
    settings: AssociationSettings,
    *,
    threads: int,
    clock: Clock,
    categories: pa.Table | None = None,
) -> tuple[Found, Evidence]:
    """The frequent sets of what is read, and what held-out baskets and strata say of them.

    Raises DataError where there are more sets than the budget allows.
    """
    table = read()
    clock.stop("read")
    table, taxonomy = extend_table(table, categories, settings)
    kept, held_out = hold_out(table, settings.holdout_share) if settings.holdout_share else (table, None)
    del table
    strata = choose_strata(tally_strata(kept))
    baskets, least = encode_frequent(kept, taxonomy, settings, threads=threads)
    if not strata:
        # What is counted once is not kept.
        kept = kept.slice(0, 0)
    clock.stop("encode")
    found = link_known(find_known(baskets, least, settings, threads=threads), least)
    if taxonomy is not None:
        found = replace(found, header=taxonomy.mark(found.header), taxonomy=taxonomy)
    clock.stop("search")
    evidence = gather_evidence(kept, held_out, strata, found.header, found.lattice, threads=threads)
    clock.stop("gather evidence")
    return found, evidence


def mine_changes(
    known: Known,
    read: Callable[[], tuple[pa.Table, pa.Table]],
    settings: AssociationSettings,
    *,
    threads: int,
    scratch: str,
) -> Report | None:
    """Bring what is known up to date with the baskets that came and those that went, which are read.

    None where all baskets have to be mined again. Raises DataError as `mine_all` does.
    """
    clock = Clock()
    came, went = read()
    clock.stop("read")
    least = partial(count_least, settings)
    now = update(known, came, went, least=least, max_length=settings.max_length, threads=threads)
    if now is None:
        return None
    found = link_known(now, count_least(settings, now.basket_count))
    clock.stop("count")
    return write_found(found, Evidence(None, {}), settings, scratch=scratch, clock=clock)


def encode_frequent(
    table: pa.Table, taxonomy: Taxonomy | None, settings: AssociationSettings, *, threads: int
) -> tuple[Baskets, int]:
    """The baskets with the items that may be in a known set, and how many have to hold a frequent one."""
    encode = partial(encode_extended, table, taxonomy, excluded=settings.excluded_items, threads=threads)
    baskets = encode(lambda count: find_border(count_least(settings, count), settings))
    least = find_least(baskets, settings, threads=threads)
    if least != count_least(settings, baskets.basket_count):
        baskets = encode(lambda _: find_border(least, settings))
    return baskets, least


def find_border(least: int, settings: AssociationSettings) -> int:
    """How many baskets have to hold a set that is to be known, where so many have to hold a frequent one."""
    return max(1, math.ceil(least * (1 - settings.margin)))


def find_known(baskets: Baskets, least: int, settings: AssociationSettings, *, threads: int) -> Known:
    """All itemsets that are frequent, or nearly. Raises DataError where there are too many."""
    border, most = find_border(least, settings), settings.max_itemsets
    tree = search_itemsets(baskets, Limits(border, settings.max_length, most), threads=threads)
    known = Known(tree, baskets.item_ids, baskets.item_names, baskets.basket_count, border)
    require_budget(known, most)
    return known


def require_budget(known: Known, most: int) -> None:
    """Raise DataError where there are more sets than that."""
    if len(known.tree.item_S) > most:
        raise DataError(
            f"more than {most:,} itemsets are found in at least {known.border:,} of {known.basket_count:,} baskets; "
            "raise association.min_support, lower association.max_length, allow more with association.max_itemsets, or "
            "let the support be raised to what they allow with association.raises_support"
        )


@dataclass(frozen=True)
class Found:
    """All that is known, and of that the sets that at least `least` baskets hold, and the items they are made of."""

    known: Known
    least: int
    lattice: Lattice
    header: Baskets
    taxonomy: Taxonomy | None = None


def link_known(known: Known, least: int) -> Found:
    """The frequent ones of all known sets, linked to their subsets."""
    frequent = known.at_least(least)
    return Found(known, least, link_subsets(frequent.tree), frequent.header())


@dataclass(frozen=True)
class Described:
    """The rows of both tables, some at a time; rules are derived as they are asked for.

    They end with a DataError where there are more of them than `max_rules`.
    """

    itemset_schema: pa.Schema
    itemsets: Iterator[pa.Table]
    rule_schema: pa.Schema
    rules: Iterator[pa.Table]


def describe_found(found: Found, evidence: Evidence, settings: AssociationSettings) -> Described:
    """The frequent sets that are wanted, and the rules of all of them."""
    lattice, header = found.lattice, found.header
    labels, marks_S = Labels(lattice, header), mark_sets(lattice, header.basket_count)
    itemsets = labels.describe_sets(choose_sets(lattice, marks_S, header, settings), marks_S)
    rules = (labels.describe_rules(some, evidence) for some in choose_rules(lattice, marks_S, header, settings))
    return Described(labels.itemset_schema, itemsets, labels.rule_schema, _watch_rules(rules, settings))


def write_found(
    found: Found, evidence: Evidence, settings: AssociationSettings, *, scratch: str, clock: Clock
) -> Report:
    """Derive rules from the frequent sets, and write both, and with a margin also what is known."""
    described = describe_found(found, evidence, settings)
    itemsets = fill_file(scratch, described.itemset_schema, described.itemsets)
    clock.stop("write itemsets")
    rules = fill_file(scratch, described.rule_schema, described.rules)
    clock.stop("write rules")
    files = {"itemsets": itemsets.path, "rules": rules.path}
    if settings.margin:
        files["known"] = write_rows(scratch, STATE, [found.known.to_table()])
        clock.stop("write what is known")
    header = found.header
    counts = len(header.count_R), len(found.lattice.count_S), itemsets.rows, rules.rows
    disputed = 0 if found.taxonomy is None else found.taxonomy.disputed
    return Report(
        files, header.basket_count, found.least, found.known.border, *counts, clock.seconds, disputed=disputed
    )


def _watch_rules(parts: Iterator[pa.Table], settings: AssociationSettings) -> Iterator[pa.Table]:
    """Hand rules on, and stop where they are too many."""
    count = 0
    for part in parts:
        count += part.num_rows
        if count > settings.max_rules:
            raise DataError(
                f"more than {settings.max_rules:,} rules have a confidence of at least {settings.min_confidence:g}; "
                "raise association.min_confidence or association.min_support, ask more of rules with "
                "association.min_measures, or allow more with association.max_rules"
            )
        yield part
