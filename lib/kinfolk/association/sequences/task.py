"""What one Spark task does: it reads all histories, searches them, and writes the sequences into a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import ceil, floor

import pyarrow as pa

from kinfolk.association.sequences.histories import Histories, encode_histories
from kinfolk.association.sequences.labels import MICROSECONDS_A_DAY, SEQUENCES, describe_sequences
from kinfolk.association.sequences.search import search_sequences
from kinfolk.association.sequences.tree import SequenceLimits, SequenceTree
from kinfolk.association.thresholds import least_count
from kinfolk.errors import DataError
from kinfolk.settings import SequenceSettings
from kinfolk.tasks.files import write_rows
from kinfolk.tasks.reports import Clock

_FOREVER = 1 << 62


@dataclass(frozen=True)
class SequenceReport:
    """What a task has to say: the file it wrote, what it counted, and how long each step took.

    At least `least` customers hold a frequent sequence. `elements` are those that hold any of the frequent `items`.
    """

    file: str
    customer_count: int
    elements: int
    items: int
    least: int
    sequences: int
    seconds: dict[str, float]

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> SequenceReport:
        """Read a report back."""
        return SequenceReport(**json.loads(text))


def search_all(
    read: Callable[[], pa.Table], settings: SequenceSettings, *, threads: int, scratch: str
) -> SequenceReport:
    """Search what is read: a table of lines, as `encode_histories` takes it.

    Raises DataError where there are more sequences than the budget allows.
    """
    clock = Clock()
    table = read()
    clock.stop("read")
    histories = encode_histories(table, lambda count: _count_least(settings, count), excluded=settings.excluded_items)
    del table
    clock.stop("encode")
    tree = find_all(histories, settings, threads=threads)
    clock.stop("search")
    file = write_rows(scratch, SEQUENCES, describe_sequences(tree, histories))
    clock.stop("write")
    return SequenceReport(
        file,
        histories.customer_count,
        len(histories.elements.time_T),
        len(histories.count_R),
        _count_least(settings, histories.customer_count),
        len(tree.item_S),
        clock.seconds,
    )


def find_all(histories: Histories, settings: SequenceSettings, *, threads: int) -> SequenceTree:
    """All frequent sequences. Raises DataError where there are too many."""
    most, customers = settings.max_sequences, histories.customer_count
    limits = SequenceLimits(
        _count_least(settings, customers),
        settings.max_length,
        settings.max_elements,
        most,
        # An element is later than the one before in any case.
        max(1, ceil(_microseconds(settings.min_gap_days))),
        _FOREVER if settings.max_gap_days is None else floor(_microseconds(settings.max_gap_days)),
        _FOREVER if settings.max_span_days is None else floor(_microseconds(settings.max_span_days)),
    )
    tree = search_sequences(histories, limits, threads=threads)
    if len(tree.item_S) > most:
        raise DataError(
            f"more than {most:,} sequences are in the histories of at least {limits.least:,} of {customers:,} "
            "customers; raise sequence.min_support, lower sequence.max_length or sequence.max_gap_days, or allow more "
            "with sequence.max_sequences"
        )
    return tree


def _count_least(settings: SequenceSettings, customers: int) -> int:
    return settings.min_count or least_count(settings.min_support, customers)


def _microseconds(days: float) -> Fraction:
    """Days as the decimal that they are written as."""
    return Fraction(repr(float(days))) * MICROSECONDS_A_DAY
