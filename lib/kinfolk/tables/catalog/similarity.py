"""Tables of what resembles what."""

from kinfolk.tables.catalog.items import RUN_COLUMNS
from kinfolk.tables.contract import Column, Table

SIMILAR_PAIRS = Table(
    name="similar_pairs",
    meaning=(
        "Pairs of items at least as similar as the threshold, each once; of identical items only the representative. "
        "A pair of representatives stands for all pairs of their copies (item_copies)."
    ),
    columns=(
        Column("left_id", "string", "the item whose id sorts first"),
        Column("right_id", "string", "the other item"),
        Column("similarity", "double", "how alike they are, exactly, under the measure in join_audits"),
        *RUN_COLUMNS,
    ),
    key=("left_id", "right_id"),
    checks={"each_pair_once": "left_id < right_id"},
    sort_by=("left_id", "right_id"),
    guards_rows=False,
)

ITEM_NEIGHBORS = Table(
    name="item_neighbors",
    meaning="The nearest other items of each representative item, nearest first, ties by id.",
    columns=(
        Column("item_id", "string", "the item"),
        Column("rank", "int", "1 for the nearest"),
        Column("neighbor_id", "string", "its neighbour, a representative item"),
        Column("similarity", "double", "how alike they are, exactly, under the measure in join_audits"),
        *RUN_COLUMNS,
    ),
    key=("item_id", "rank"),
    checks={"positive_rank": "rank >= 1", "not_itself": "item_id <> neighbor_id"},
    sort_by=("item_id", "rank"),
    guards_rows=False,
)

ITEM_COPIES = Table(
    name="item_copies",
    meaning="Items that equal another, and the item that stands for them in pairs and neighbours.",
    columns=(
        Column("item_id", "string", "the item that is represented"),
        Column("representative_id", "string", "the first of the identical items, by id"),
        *RUN_COLUMNS,
    ),
    key=("item_id",),
    checks={"not_itself": "representative_id < item_id"},
    sort_by=("item_id",),
    guards_rows=False,
)

JOINED_ITEMS = Table(
    name="joined_items",
    meaning=(
        "What the join compared: an item whose digest changes, or that comes or goes, is all that the next run has to "
        "compare anew."
    ),
    columns=(
        Column("item_id", "string", "the item, a representative of its copies"),
        Column("digest", "bigint", "hash of what is compared, of the settings of the join and of its code"),
        *RUN_COLUMNS,
    ),
    key=("item_id",),
    sort_by=("item_id",),
    guards_rows=False,
)

ITEM_GROUPS = Table(
    name="item_groups",
    meaning=(
        "Groups of items connected by similar pairs or by being copies, cut at their weakest links where they were too "
        "large or their members too far apart; items alone are left out."
    ),
    columns=(
        Column("item_id", "string", "the item"),
        Column(
            "group_id", "string", "id of the group, which it keeps from run to run: an item it had when it was made"
        ),
        Column("group_size", "bigint", "items in the group, 2 or more"),
        Column(
            "weakest_link",
            "double",
            "the similarity up to which, as a threshold, the group holds together; null for a group of copies",
            nullable=True,
        ),
        Column(
            "diameter",
            "int",
            "most pairs on the shortest way between two members, 1 or more; copies of one item are a pair as well",
            # Only so that it can be added to a table that stands; every row that is written has it.
            nullable=True,
        ),
        *RUN_COLUMNS,
    ),
    key=("item_id",),
    checks={"at_least_two": "group_size >= 2"},
    sort_by=("group_id", "item_id"),
    guards_rows=False,
)

GROUP_EVENTS = Table(
    name="group_events",
    meaning=(
        "What each run of the join changed in item_groups: a row for each group and kind of change, none for a group "
        "that stayed as it was. For each group of a run, items of created, split, merged and grown, less those of "
        "shrunk and dissolved, are items_after - items_before."
    ),
    columns=(
        Column("join_run_id", "string", "run of the join job"),
        Column("group_id", "string", "the group"),
        Column(
            "event",
            "string",
            "created (of items that had no group), split (made of items that had another group), merged (items came "
            "from other groups), grown (items came that had no group), shrunk (items went), dissolved (the id is given "
            "up)",
        ),
        Column("items", "bigint", "items that came or went"),
        Column("items_before", "bigint", "items of the group before the run, 0 for a new one"),
        Column("items_after", "bigint", "items of the group after the run, 0 for one that is dissolved"),
        Column("from_group_ids", "array<string>", "groups that the items came from, in order; empty where none"),
        *RUN_COLUMNS,
    ),
    key=("join_run_id", "group_id", "event"),
    checks={
        "known_event": "event IN ('created', 'split', 'merged', 'grown', 'shrunk', 'dissolved')",
        "some_items": "items >= 1",
    },
    slice_by=("join_run_id",),
    guards_rows=False,
)

_DEED_COLUMNS = (
    Column("measure", "string", "cosine, euclidean (minus the distance), inner_product, jaccard, containment, overlap"),
    Column("threshold", "double", "least similarity of a pair, for euclidean the greatest distance", nullable=True),
    Column("neighbors_wanted", "int", "nearest neighbours kept of each item"),
    Column("plan", "string", "exact, cells, signs, prefix or minhash"),
)
"""What a join was asked for, and how it was computed."""


def _count_columns(side: str) -> tuple[Column, ...]:
    """What became of the items of a side, such as left."""
    prefix, of_side = (f"{side}_", f" of the {side} side") if side else ("", "")
    return (
        Column(f"{prefix}items", "bigint", f"items{of_side} that came: distinct ones, copies and rejected ones"),
        Column(f"{prefix}distinct", "bigint", f"items{of_side} that were compared"),
        Column(f"{prefix}copies", "bigint", f"items{of_side} that equal another"),
        Column(f"{prefix}rejected", "bigint", f"items{of_side} that cannot be compared"),
    )


_OUTCOME_COLUMNS = (
    Column(
        "compared",
        "bigint",
        "distinct items compared with all others: all of them, or those that changes since the run before concern",
        # Only so that it can be added to a table that stands; every row that is written has it.
        nullable=True,
    ),
    Column("pairs", "bigint", "pairs found"),
    Column("neighbors", "bigint", "neighbours found"),
    Column("recall", "double", "share of the true pairs or neighbours found, averaged over items; 1 where all are"),
    Column("recall_low", "double", "lower end of its 95% interval"),
    Column("recall_high", "double", "upper end of its 95% interval"),
    Column("probes", "bigint", "items joined exactly to measure the recall; 0 where nothing can be missed"),
    Column("tasks", "int", "Spark tasks that shared the join"),
)
"""What a join did, and how much of the truth it found."""

JOIN_AUDITS = Table(
    name="join_audits",
    meaning="How each run of the join went about it, and how much of the truth it found.",
    columns=(
        Column("join_run_id", "string", "run of the join job"),
        *_DEED_COLUMNS,
        *_count_columns(""),
        *_OUTCOME_COLUMNS,
        *RUN_COLUMNS,
    ),
    key=("join_run_id",),
    checks={"recall_in_interval": "recall_low <= recall AND recall <= recall_high"},
    slice_by=("join_run_id",),
    guards_rows=False,
)

ITEM_MATCHES = Table(
    name="item_matches",
    meaning=(
        "The items of the right side nearest to each item of the left one, nearest first, ties by id; of identical "
        "items of a side only the representative (matched_copies)."
    ),
    columns=(
        Column("item_id", "string", "an item of the left side"),
        Column("rank", "int", "1 for the nearest"),
        Column("match_id", "string", "an item of the right side; it may be the same item, seen from its other side"),
        Column("similarity", "double", "how alike they are, exactly, under the measure in match_audits"),
        *RUN_COLUMNS,
    ),
    key=("item_id", "rank"),
    checks={"positive_rank": "rank >= 1"},
    sort_by=("item_id", "rank"),
    guards_rows=False,
)

MATCHED_PAIRS = Table(
    name="matched_pairs",
    meaning=(
        "Items of the left and of the right side at least as similar as the threshold; of identical items of a side "
        "only the representative (matched_copies)."
    ),
    columns=(
        Column("left_id", "string", "an item of the left side"),
        Column("right_id", "string", "an item of the right side"),
        Column("similarity", "double", "how alike they are, exactly, under the measure in match_audits"),
        *RUN_COLUMNS,
    ),
    key=("left_id", "right_id"),
    sort_by=("left_id", "right_id"),
    guards_rows=False,
)

_SIDE = Column("side", "string", "left or right")
_KNOWN_SIDE = {"known_side": "side IN ('left', 'right')"}

MATCHED_COPIES = Table(
    name="matched_copies",
    meaning="Items that equal another of their side, and the item that stands for them in matches.",
    columns=(
        _SIDE,
        Column("item_id", "string", "the item that is represented"),
        Column("representative_id", "string", "the first of the identical items, by id"),
        *RUN_COLUMNS,
    ),
    key=("side", "item_id"),
    checks={"not_itself": "representative_id < item_id", **_KNOWN_SIDE},
    sort_by=("side", "item_id"),
    guards_rows=False,
)

MATCHED_ITEMS = Table(
    name="matched_items",
    meaning=(
        "What was matched: an item whose digest changes, or that comes or goes, is all that the next run has to "
        "compare anew."
    ),
    columns=(
        _SIDE,
        Column("item_id", "string", "the item, a representative of its copies"),
        Column("digest", "bigint", "hash of what is compared, of the settings of the match and of its code"),
        *RUN_COLUMNS,
    ),
    key=("side", "item_id"),
    checks=_KNOWN_SIDE,
    sort_by=("side", "item_id"),
    guards_rows=False,
)

MATCH_AUDITS = Table(
    name="match_audits",
    meaning="How each run of the match went about it, and how much of the truth it found.",
    columns=(
        Column("match_run_id", "string", "run of the match job"),
        *_DEED_COLUMNS,
        *_count_columns("left"),
        *_count_columns("right"),
        *_OUTCOME_COLUMNS,
        *RUN_COLUMNS,
    ),
    key=("match_run_id",),
    checks={"recall_in_interval": "recall_low <= recall AND recall <= recall_high"},
    slice_by=("match_run_id",),
    guards_rows=False,
)
