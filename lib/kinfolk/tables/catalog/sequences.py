"""Tables of what is bought later."""

from kinfolk.tables.catalog.items import RUN_COLUMNS
from kinfolk.tables.contract import Column, Table

FREQUENT_SEQUENCES = Table(
    name="frequent_sequences",
    meaning="Sequences of purchases found in the histories of at least the minimum share of customers.",
    columns=(
        Column("sequence_id", "string", "for each element its sorted item ids, as a JSON list of lists"),
        Column("length", "int", "number of items, those of all elements together"),
        Column("elements", "int", "number of elements: purchases, each later than the one before"),
        Column("customer_count", "bigint", "customers whose history holds the sequence"),
        Column("support", "double", "share of all customers with a history, 0 to 1"),
        Column(
            "antecedent_count",
            "bigint",
            "customers whose history holds the sequence without its last element; null for one element",
            nullable=True,
        ),
        Column(
            "confidence",
            "double",
            "share of these that go on to the last element, 0 to 1; null for one element",
            nullable=True,
        ),
        Column(
            "lift",
            "double",
            "confidence over the share of all customers that hold the last element at any time; null for one element",
            nullable=True,
        ),
        Column(
            "median_days",
            "double",
            "median of the days between the last two elements, where each customer first completes the sequence; null "
            "for one element",
            nullable=True,
        ),
        Column("items", "array<array<string>>", "item ids, sorted, of each element"),
        Column("item_names", "array<array<string>>", "their names, in the same order; the id where no name is known"),
        *RUN_COLUMNS,
    ),
    key=("sequence_id",),
    checks={"share": "support > 0 AND support <= 1", "at_least_one": "elements >= 1 AND length >= elements"},
    sort_by=("sequence_id",),
    guards_rows=False,
    run_date_meaning="the last day of the events searched where sequence.window_days is set; otherwise none",
)
