"""Tables of what is bought together."""

from kinfolk.tables.catalog.items import RUN_COLUMNS
from kinfolk.tables.contract import Column, Table

_RUN_DATE = "the last day of the events mined where association.window_days is set; otherwise none"

FREQUENT_ITEMSETS = Table(
    name="frequent_itemsets",
    meaning="Every set of items found together in at least the minimum share of baskets.",
    columns=(
        Column("itemset_id", "string", "the sorted item ids as a JSON list"),
        Column("length", "int", "number of items"),
        Column("basket_count", "bigint", "baskets that hold all of them"),
        Column("support", "double", "share of all baskets, 0 to 1"),
        Column("items", "array<string>", "item ids, sorted"),
        Column("item_names", "array<string>", "their names, in the same order; the id where no name is known"),
        *RUN_COLUMNS,
    ),
    key=("itemset_id",),
    checks={"share": "support > 0 AND support <= 1", "at_least_one": "length >= 1"},
    sort_by=("itemset_id",),
    guards_rows=False,
    run_date_meaning=_RUN_DATE,
)

ASSOCIATION_RULES = Table(
    name="association_rules",
    meaning="Rules: baskets with the antecedent hold the consequent with at least the minimum confidence.",
    columns=(
        Column("antecedent_id", "string", "the sorted item ids as a JSON list"),
        Column("consequent_id", "string", "the sorted item ids as a JSON list"),
        Column("basket_count", "bigint", "baskets that hold both sides"),
        Column("support", "double", "share of all baskets that hold both sides, 0 to 1"),
        Column("confidence", "double", "share of the antecedent's baskets that hold the consequent, 0 to 1"),
        Column("lift", "double", "confidence over the consequent's support; 1 for independence"),
        Column("leverage", "double", "support less what independence would give, -0.25 to 0.25"),
        Column(
            "conviction",
            "double",
            "(1 - consequent's support) / (1 - confidence); null where confidence is 1",
            nullable=True,
        ),
        Column("antecedent", "array<string>", "item ids, sorted"),
        Column("consequent", "array<string>", "item ids, sorted"),
        Column("antecedent_names", "array<string>", "their names, in the same order"),
        Column("consequent_names", "array<string>", "their names, in the same order"),
        *RUN_COLUMNS,
    ),
    key=("antecedent_id", "consequent_id"),
    checks={"share": "confidence > 0 AND confidence <= 1"},
    sort_by=("antecedent_id", "consequent_id"),
    guards_rows=False,
    run_date_meaning=_RUN_DATE,
)
