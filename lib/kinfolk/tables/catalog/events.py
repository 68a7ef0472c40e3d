"""Tables of events: lines of baskets, with who, what and when."""

from kinfolk.tables.catalog.items import RUN_COLUMNS
from kinfolk.tables.contract import Column, Table

_ORIGIN = (
    Column("source", "string", "name of the source in the settings"),
    Column("file", "string", "path of the file below the source's folder"),
    Column("row", "bigint", "row in that file, from 0"),
)

RAW_EVENTS = Table(
    name="raw_events",
    meaning="Events as their files say, every value still text; mirrors the files named in the settings.",
    columns=(
        *_ORIGIN,
        Column("basket_id", "string", "what was bought together", nullable=True),
        Column("customer_id", "string", "who bought", nullable=True),
        Column("item_id", "string", "what was bought", nullable=True),
        Column("item_name", "string", "name of the item", nullable=True),
        Column("category", "string", "category of the item, its levels divided by ` > `", nullable=True),
        Column("segment", "string", "segment of the basket, such as country or store", nullable=True),
        Column("event_time", "string", "when", nullable=True),
        Column("quantity", "string", "how many", nullable=True),
        Column("price", "string", "price of one", nullable=True),
        *RUN_COLUMNS,
    ),
    key=("source", "file", "row"),
)

CLEAN_EVENTS = Table(
    name="clean_events",
    meaning="Events that passed every row rule and set rule, with their values typed.",
    columns=(
        *_ORIGIN,
        Column("basket_id", "string", "what was bought together"),
        Column("customer_id", "string", "who bought; null where unknown", nullable=True),
        Column("item_id", "string", "what was bought"),
        Column("item_name", "string", "name of the item; null where unknown", nullable=True),
        Column(
            "category",
            "string",
            "category of the item, its levels divided by ` > `, the widest first; null where unknown",
            nullable=True,
        ),
        Column(
            "segment", "string", "segment of the basket, such as country or store; null where unknown", nullable=True
        ),
        Column("event_time", "timestamp", "when, UTC; null where the source names no time column", nullable=True),
        Column("quantity", "int", "how many, above 0"),
        Column(
            "price",
            "decimal(18,4)",
            "price of one, above 0; null where the source names no price column",
            nullable=True,
        ),
        *RUN_COLUMNS,
    ),
    key=("source", "file", "row"),
    checks={"positive_quantity": "quantity > 0", "positive_price": "price IS NULL OR price > 0"},
)
