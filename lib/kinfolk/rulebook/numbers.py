"""The numbers by which rules are searched and sorted: columns of association_rules, and measures of their counts."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, isinf, isnan, nan

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kinfolk.errors import SettingsError
from kinfolk.tables.catalog import ASSOCIATION_RULES
from kinfolk.tables.queries import ask_back
from kinfolk.tables.rule_lookups import LENGTH, Bounds

COUNTS = ("basket_count", "antecedent_count", "consequent_count", "baskets")
"""The columns that measures are functions of, in the order in which measures take them."""
STORED = (*(c.name for c in ASSOCIATION_RULES.columns if c.type in ("double", "bigint")), LENGTH)
"""The numbers that need no computing."""

_SUGGESTIONS = 3


def check_names(names: Iterable[str]) -> None:
    """Raise SettingsError for a name that is no number of rules, with the nearest ones."""
    # Measures are loaded where one is asked for: it takes half a second.
    named = set(names) - set(STORED)
    unknown = sorted(named - set(list_measures())) if named else []
    if unknown:
        from difflib import get_close_matches

        near = get_close_matches(unknown[0].lower(), (*list_measures(), *STORED), n=_SUGGESTIONS)
        others = ", ".join(sorted(set(STORED) - set(list_measures())))
        raise SettingsError(
            f"rules have no measure {unknown[0]!r}{ask_back(near)}; docs/measures.md lists all, and there are {others}"
        )


def list_measures() -> tuple[str, ...]:
    """The names of all measures."""
    from kinfolk.association.measures import MEASURES

    return tuple(MEASURES)


def compute_numbers(rules: pa.Table, names: Iterable[str]) -> pa.Table:
    """Put a column behind the others for each measure that is none yet, from `COUNTS`; null where it has no value."""
    missing = [name for name in names if name not in rules.column_names]
    if not missing:
        return rules
    from kinfolk.association.measures import count, measure

    # `ChunkedArray.to_numpy` and `pa.array` would load pandas, for a second.
    counts = count(*(np.concatenate([np.empty(0), *map(np.from_dlpack, rules[name].chunks)]) for name in COUNTS))
    with np.errstate(divide="ignore", invalid="ignore"):
        for name in missing:
            rules = rules.append_column(name, _read(measure(name, counts)))
    return rules


def _read(values: NDArray[np.float64]) -> pa.Array:
    """Values in Arrow, null where they are NaN."""
    is_valid = np.packbits(~np.isnan(values), bitorder="little")
    buffers = [pa.py_buffer(is_valid), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(pa.float64(), len(values), buffers)


def parse_bounds(text: str) -> Bounds:
    """Bounds as people write them: a number and its least value, or its range, either end of which may be left out.

    Raises SettingsError for anything else.

    >>> parse_bounds("zhang=0.5"), parse_bounds("ralambondrainy=..0.1")
    (Bounds(name='zhang', low=0.5, high=inf), Bounds(name='ralambondrainy', low=-inf, high=0.1))
    >>> parse_bounds("lift=1.5..3")
    Bounds(name='lift', low=1.5, high=3.0)
    """
    name, _, written = text.partition("=")
    low, dots, high = written.strip().partition("..")
    try:
        bounds = Bounds(name.strip(), _read_end(low, -inf if dots else nan), _read_end(high, inf))
    except ValueError:
        bounds = Bounds(name, nan)
    if any(map(isnan, bounds[1:])) or bounds[1:] == (-inf, inf):
        raise SettingsError(
            f"{text!r} is no bound; write MEASURE=LOW, MEASURE=LOW..HIGH or MEASURE=..HIGH, such as zhang=0.5 for at "
            "least 0.5"
        )
    if bounds.low > bounds.high:
        raise SettingsError(f"{text!r} lets nothing through: {bounds.low:g} is above {bounds.high:g}")
    return bounds


def _read_end(text: str, missing: float) -> float:
    """An end of a range; NaN for one that is not finite."""
    value = float(text or missing)
    return nan if text and isinf(value) else value
