"""Tables of what is bought together."""

from kinfolk.tables.catalog.items import RUN_COLUMNS
from kinfolk.tables.contract import Column, Table

_RUN_DATE = "the last day of the events mined where association.window_days is set; otherwise none"

FREQUENT_ITEMSETS = Table(
    name="frequent_itemsets",
    meaning="Sets of items found together in at least the minimum share of baskets.",
    columns=(
        Column("itemset_id", "string", "the sorted item ids as a JSON list"),
        Column("length", "int", "number of items"),
        Column("basket_count", "bigint", "baskets that hold all of them"),
        Column("support", "double", "share of all baskets, 0 to 1"),
        Column("is_closed", "boolean", "whether no larger set is in as many baskets"),
        Column("is_maximal", "boolean", "whether no larger set is frequent"),
        Column("is_generator", "boolean", "whether no smaller set, the empty one included, is in as few baskets"),
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
        Column("antecedent_count", "bigint", "baskets that hold the antecedent"),
        Column("consequent_count", "bigint", "baskets that hold the consequent"),
        Column("baskets", "bigint", "all baskets; of these four counts every measure is a function (docs/measures.md)"),
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
        *(
            Column(f"{name}_{end}", "double", f"{which} end of the interval that holds the true {name} 95 times in 100")
            for name in ("confidence", "lift")
            for end, which in (("low", "lower"), ("high", "upper"))
        ),
        Column(
            "improvement",
            "double",
            "confidence less the highest of a simpler rule, with fewer items or none before the same item, -1 to 1; "
            "null for a consequent of several items",
            nullable=True,
        ),
        Column(
            "p_value",
            "double",
            "chance of so many baskets with both sides if these were independent (Fisher's exact test); null where "
            "rules are not tested",
            nullable=True,
        ),
        Column(
            "false_discovery_rate",
            "double",
            "share of false rules among those reported, if this one were the last; null where rules are not tested",
            nullable=True,
        ),
        Column(
            "holdout_baskets", "bigint", "held-out baskets with both sides; null if none were held out", nullable=True
        ),
        Column(
            "holdout_confidence",
            "double",
            "confidence in held-out baskets; null where none has the antecedent",
            nullable=True,
        ),
        Column("holdout_lift", "double", "lift in held-out baskets; null where a side is in none", nullable=True),
        Column(
            "adjusted_odds_ratio",
            "double",
            "odds ratio within the values of association.confounder, pooled (Mantel and Haenszel); below 1 where the "
            "rule is reversed there; null where nothing was checked, or no basket with the antecedent is an exception",
            nullable=True,
        ),
        Column(
            "reversed_in",
            "array<string>",
            "values of association.confounder within which the rule is reversed; null where nothing was checked",
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

_SEGMENT = Column("segment", "string", "value of association.segment_by; counts and shares are of its baskets")

SEGMENT_ITEMSETS = Table(
    name="segment_itemsets",
    meaning="Sets of items found together in at least the minimum share of the baskets of a segment.",
    columns=(_SEGMENT, *FREQUENT_ITEMSETS.columns),
    key=("segment", "itemset_id"),
    checks=FREQUENT_ITEMSETS.checks,
    sort_by=("segment", "itemset_id"),
    guards_rows=False,
    run_date_meaning=_RUN_DATE,
)

SEGMENT_RULES = Table(
    name="segment_rules",
    meaning="Rules that hold among the baskets of a segment.",
    columns=(_SEGMENT, *ASSOCIATION_RULES.columns),
    key=("segment", "antecedent_id", "consequent_id"),
    checks=ASSOCIATION_RULES.checks,
    sort_by=("segment", "antecedent_id", "consequent_id"),
    guards_rows=False,
    run_date_meaning=_RUN_DATE,
)

RULE_CHANGES = Table(
    name="rule_changes",
    meaning=(
        "What each run of mine changed in association_rules: rules that appeared, vanished, or really changed, that "
        "is, whose confidence changed by more than chance explains."
    ),
    columns=(
        Column("mine_run_id", "string", "run of the mine job"),
        Column("antecedent_id", "string", "the sorted item ids as a JSON list"),
        Column("consequent_id", "string", "the sorted item ids as a JSON list"),
        Column("change", "string", "appeared, vanished or changed"),
        *(
            Column(f"{name}_{when}", "bigint", f"{meaning}, {time}; null where they were not counted", nullable=True)
            for name, meaning in (
                ("basket_count", "baskets that hold both sides"),
                ("antecedent_count", "baskets that hold the antecedent"),
                ("baskets", "all baskets"),
            )
            for when, time in (("before", "before the run"), ("after", "after it"))
        ),
        Column("confidence_before", "double", "confidence before the run, 0 to 1", nullable=True),
        Column("confidence_after", "double", "confidence after it, 0 to 1", nullable=True),
        Column(
            "p_value",
            "double",
            "chance of such a change if the confidence is the same; null for rules that appeared or vanished",
            nullable=True,
        ),
        Column(
            "false_discovery_rate",
            "double",
            "share of rules said to have changed that did not, if this one were the last",
            nullable=True,
        ),
        Column("antecedent_names", "array<string>", "names of the antecedent's items"),
        Column("consequent_names", "array<string>", "names of the consequent's items"),
        *RUN_COLUMNS,
    ),
    key=("mine_run_id", "antecedent_id", "consequent_id"),
    checks={"known_change": "change IN ('appeared', 'vanished', 'changed')"},
    slice_by=("mine_run_id",),
    guards_rows=False,
)

ITEM_RECOMMENDATIONS = Table(
    name="item_recommendations",
    meaning="What each customer or basket (recommendation.subject) is likely to buy next, by the rules.",
    columns=(
        Column("subject_id", "string", "the customer or basket"),
        Column("rank", "int", "1 for the best"),
        Column("item_id", "string", "an item that the subject does not hold yet"),
        Column("item_name", "string", "its name"),
        Column("score", "double", "recommendation.measure of the best rule that leads to it"),
        Column("antecedent_id", "string", "that rule's antecedent, all of which the subject holds"),
        Column("antecedent_names", "array<string>", "the names of its items"),
        *RUN_COLUMNS,
    ),
    key=("subject_id", "rank"),
    checks={"from_one": "rank >= 1"},
    sort_by=("subject_id", "rank"),
    guards_rows=False,
)

VALUABLE_ITEMSETS = Table(
    name="valuable_itemsets",
    meaning="Sets of items that bring in at least the minimum revenue, in the baskets that hold all of them.",
    columns=(
        Column("itemset_id", "string", "the sorted item ids as a JSON list"),
        Column("length", "int", "number of items"),
        Column(
            "revenue",
            "decimal(19,4)",
            "what these items cost, quantity times price, in the baskets that hold all of them; in the unit of the "
            "prices",
        ),
        Column("revenue_share", "double", "share of the revenue of all baskets, 0 to 1"),
        Column("basket_count", "bigint", "baskets that hold all of them"),
        Column("support", "double", "share of all baskets, 0 to 1"),
        Column("revenue_per_basket", "decimal(19,4)", "revenue over basket_count, rounded"),
        Column("basket_share", "double", "share of the whole revenue of these baskets, 0 to 1"),
        Column("items", "array<string>", "item ids, sorted"),
        Column("item_names", "array<string>", "their names, in the same order; the id where no name is known"),
        *RUN_COLUMNS,
    ),
    key=("itemset_id",),
    checks={"share": "revenue_share > 0 AND revenue_share <= 1", "at_least_one": "length >= 1"},
    sort_by=("itemset_id",),
    guards_rows=False,
    run_date_meaning="the last day of the events looked at where utility.window_days is set; otherwise none",
)
