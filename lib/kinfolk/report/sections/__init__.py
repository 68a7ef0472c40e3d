"""The sections of the page, in their order."""

import functools

from kinfolk.report.sections.groups import read_groups
from kinfolk.report.sections.neighbors import read_matches, read_neighbors
from kinfolk.report.sections.pairs import Explain, read_pairs
from kinfolk.report.sections.provenance import read_provenance
from kinfolk.report.sections.rejected import read_rejected
from kinfolk.report.sections.road import read_road
from kinfolk.report.sections.rules import read_rules
from kinfolk.report.sections.section import Section
from kinfolk.report.sections.segments import read_segments
from kinfolk.report.sections.sequences import read_sequences
from kinfolk.report.sections.training import read_training
from kinfolk.report.sections.values import read_values

_FROM_TABLES = (
    Section(
        "road",
        "The road",
        "road.html",
        read_road,
        "No data has come in yet. Name files under `sources` in the settings, then run `kinfolk run --settings FILE`.",
    ),
    Section(
        "rejected",
        "Turned away",
        "rejected.html",
        read_rejected,
        "No job has turned a row away. Rows that a job refuses will be listed here, each with its reason.",
    ),
    Section(
        "training",
        "What the encoder learned",
        "training.html",
        read_training,
        "Nothing has been trained yet. With items among the sources, `kinfolk run --settings FILE` does it.",
    ),
    Section(
        "neighbors",
        "Nearest neighbours",
        "neighbors.html",
        read_neighbors,
        "No neighbours yet. Once items are embedded, `kinfolk run --settings FILE --only join` finds them.",
    ),
    Section(
        "groups",
        "Largest groups",
        "groups.html",
        read_groups,
        "No groups yet. `kinfolk run --settings FILE --only join` makes them of items above the similarity threshold; "
        "a lower `similarity.threshold` finds more.",
    ),
    Section(
        "matches",
        "Matches on the other side",
        "neighbors.html",
        read_matches,
        "Nothing was matched. Name two sides in the section `matching` of the settings, such as texts and the pictures "
        "that fit them, then run `kinfolk run --settings FILE --only match`.",
    ),
    Section(
        "rules",
        "Bought together",
        "rules.html",
        read_rules,
        "No rules yet. With events among the sources, `kinfolk run --settings FILE --only mine` finds them; "
        "a lower `association.min_support` or `association.min_confidence` finds more.",
    ),
    Section(
        "segments",
        "Segment by segment",
        "segments.html",
        read_segments,
        "No segment was mined apart. Name a column in `association.segment_by`, such as segment or source, then run "
        "`kinfolk run --settings FILE --only segment`.",
    ),
    Section(
        "sequences",
        "Bought later",
        "sequences.html",
        read_sequences,
        "No sequences yet. With customers and times among the events, `kinfolk run --settings FILE --only sequence` "
        "finds them; a lower `sequence.min_support` finds more.",
    ),
    Section(
        "values",
        "What brings in the money",
        "values.html",
        read_values,
        "No revenue yet. With prices among the events, `kinfolk run --settings FILE --only value` adds them up; a "
        "lower `utility.min_revenue_share` finds more itemsets.",
    ),
    Section(
        "provenance",
        "Where this comes from",
        "provenance.html",
        read_provenance,
        "The lake holds no tables yet. `kinfolk run --settings FILE` makes them.",
    ),
)


def list_sections(explain: Explain | None = None) -> tuple[Section, ...]:
    """All sections, pairs behind neighbours; without a function that explains pairs theirs has nothing to show."""
    pairs = Section(
        "pairs",
        "Why they are similar",
        "pairs.html",
        functools.partial(read_pairs, explain=explain),
        "No pairs to explain yet. `kinfolk run --settings FILE --only join` finds them under the settings that hold "
        "now; a lower `similarity.threshold` finds more.",
    )
    place = [section.anchor for section in _FROM_TABLES].index("neighbors") + 1
    return (*_FROM_TABLES[:place], pairs, *_FROM_TABLES[place:])


__all__ = ["Section", "list_sections"]
