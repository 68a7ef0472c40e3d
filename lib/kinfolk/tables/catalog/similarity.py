"""Tables of what resembles what."""

from kinfolk.tables.catalog.items import RUN_COLUMNS
from kinfolk.tables.contract import Column, Table

SIMILAR_PAIRS = Table(
    name="similar_pairs",
    meaning=(
        "Pairs of items at least as similar as the threshold, each once; of identical items only the representative. "
        "A pair of representatives stands for all pairs of their copies (item_copies), and an item and its copy have "
        "similarity 1."
    ),
    columns=(
        Column("left_id", "string", "the item whose id sorts first"),
        Column("right_id", "string", "the other item"),
        Column("similarity", "double", "exact cosine of the two embeddings, -1 to 1"),
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
        Column("similarity", "double", "exact cosine of the two embeddings, -1 to 1"),
        *RUN_COLUMNS,
    ),
    key=("item_id", "rank"),
    checks={"positive_rank": "rank >= 1", "not_itself": "item_id <> neighbor_id"},
    sort_by=("item_id", "rank"),
    guards_rows=False,
)

ITEM_COPIES = Table(
    name="item_copies",
    meaning="Items whose embedding equals that of another, and the item that stands for them in pairs and neighbours.",
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

ITEM_GROUPS = Table(
    name="item_groups",
    meaning="Groups of items connected by similar pairs or by being copies; items alone are left out.",
    columns=(
        Column("item_id", "string", "the item"),
        Column("group_id", "string", "the first item of the group, by id"),
        Column("group_size", "bigint", "items in the group, 2 or more"),
        *RUN_COLUMNS,
    ),
    key=("item_id",),
    checks={"at_least_two": "group_size >= 2"},
    sort_by=("group_id", "item_id"),
    guards_rows=False,
)
