"""What one Spark task does: it reads all lines, finds the itemsets that bring in the most, and writes them into a file.

Shape suffixes: S itemsets.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import chain

import numpy as np
import pyarrow as pa

from kinfolk.association.baskets import Integers
from kinfolk.association.labels import SETS_AT_A_TIME, SetLabels
from kinfolk.association.thresholds import least_count
from kinfolk.association.utility.search import UtilityLimits, ValuableSets, search_valuable
from kinfolk.association.utility.worth import MOST_UNITS, PricedBaskets, encode_worths
from kinfolk.errors import DataError
from kinfolk.settings import UtilitySettings
from kinfolk.tasks.files import write_rows
from kinfolk.tasks.reports import Clock

_MONEY_DIGITS = 19
"""Decimal digits of the largest whole number of 64 bits."""


@dataclass(frozen=True)
class ValueReport:
    """What a task has to say: the file it wrote, what it counted, and how long each step took.

    `revenue` is what all baskets bring in, and `least` what a set has to, as decimals. `left_out` counts lines that
    lack a basket, an item, a quantity or a price.
    """

    file: str
    basket_count: int
    revenue: str
    least: str
    items: int
    itemsets: int
    left_out: int
    seconds: dict[str, float]

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> ValueReport:
        """Read a report back."""
        return ValueReport(**json.loads(text))


def find_least(settings: UtilitySettings, total: int, digits: int) -> int:
    """The least worth of a set, 1 or more, in units of 10 to the power of `-digits`.

    >>> from decimal import Decimal
    >>> find_least(UtilitySettings(min_revenue_share=0.07), 10_000, 2)
    700
    >>> find_least(UtilitySettings(min_revenue=Decimal("2.505")), 10_000, 2)
    251
    """
    if settings.min_revenue is None:
        return least_count(settings.min_revenue_share, total)
    units: int = 10**digits
    return math.ceil(Fraction(settings.min_revenue) * units)


def mine_lines(read: Callable[[], pa.Table], settings: UtilitySettings, *, threads: int, scratch: str) -> ValueReport:
    """Mine the lines that are read, as `encode_worths` takes them.

    Raises DataError as it does, and where there are more itemsets than the settings allow.
    """
    clock = Clock()
    table = read()
    clock.stop("read")
    baskets = encode_worths(table, partial(find_least, settings), excluded=settings.excluded_items)
    clock.stop("encode")
    least = find_least(settings, baskets.total, baskets.digits)
    sets = _search(baskets, least, settings, threads=threads)
    clock.stop("search")
    parts = _describe(baskets, sets)
    first = next(parts)
    file = write_rows(scratch, first.schema, chain([first], parts))
    clock.stop("write")
    return ValueReport(
        file,
        baskets.basket_count,
        _tell(baskets.total, baskets.digits),
        _tell(least, baskets.digits),
        len(baskets.item_ids),
        len(sets.worth_S),
        baskets.left_out,
        clock.seconds,
    )


def _search(baskets: PricedBaskets, least: int, settings: UtilitySettings, *, threads: int) -> ValuableSets:
    most = settings.max_itemsets
    # More than all baskets are worth is out of reach, however much it is.
    worth = min(least, MOST_UNITS)
    limits = UtilityLimits(worth, settings.min_count, settings.min_length, settings.max_length, most)
    sets = search_valuable(baskets, limits, threads=threads)
    if len(sets.worth_S) > most:
        raise DataError(
            f"more than {most:,} itemsets bring in at least {_tell(least, baskets.digits)} of "
            f"{_tell(baskets.total, baskets.digits)}; raise utility.min_revenue_share, lower utility.max_length, ask "
            "for more baskets with utility.min_count, or allow more with utility.max_itemsets"
        )
    return sets


def _tell(units: int, digits: int) -> str:
    """So many units of 10 to the power of `-digits` as a decimal, such as 12.50."""
    return f"{Decimal(units).scaleb(-digits):f}"


def _describe(baskets: PricedBaskets, sets: ValuableSets) -> Iterator[pa.Table]:
    """The sets with their columns, in parts."""
    labels = SetLabels(sets.start_S, sets.item_J, baskets.item_ids, baskets.item_names)
    per_basket_S, rest_S = np.divmod(sets.worth_S, sets.count_S)
    per_basket_S += rest_S >= sets.count_S - rest_S
    for first in range(0, max(len(sets.worth_S), 1), SETS_AT_A_TIME):
        some = np.arange(first, min(first + SETS_AT_A_TIME, len(sets.worth_S)))
        worth_S, count_S = sets.worth_S[some], sets.count_S[some]
        items, names = labels.list_items(some)
        columns = {
            "itemset_id": labels.set_ids.take(pa.array(some)),
            "length": np.diff(sets.start_S)[some].astype(np.int32),
            "revenue": _as_money(worth_S, baskets.digits),
            "revenue_share": worth_S / baskets.total,
            "basket_count": count_S,
            "support": count_S / baskets.basket_count,
            "revenue_per_basket": _as_money(per_basket_S[some], baskets.digits),
            "basket_share": worth_S / sets.whole_S[some],
            "items": items,
            "item_names": names,
        }
        yield pa.table(columns)


def _as_money(units_S: Integers, digits: int) -> pa.Array:
    """Counts of a unit of 10 to the power of `-digits` as decimals."""
    words = np.stack([units_S, units_S >> 63], axis=1)
    return pa.Array.from_buffers(pa.decimal128(_MONEY_DIGITS, digits), len(units_S), [None, pa.py_buffer(words)])
