"""Every table there is, a module a domain; `CATALOG` lists them in the order in which the data goes."""

from kinfolk.tables.catalog.association import (
    ASSOCIATION_RULES,
    FREQUENT_ITEMSETS,
    ITEM_RECOMMENDATIONS,
    RULE_CHANGES,
    SEGMENT_ITEMSETS,
    SEGMENT_RULES,
    VALUABLE_ITEMSETS,
)
from kinfolk.tables.catalog.events import CLEAN_EVENTS, RAW_EVENTS
from kinfolk.tables.catalog.items import (
    CLEAN_ITEMS,
    ITEM_EMBEDDINGS,
    ITEM_FEATURES,
    RAW_ITEMS,
    TEXT_VOCABULARY,
    TRAINING_METRICS,
)
from kinfolk.tables.catalog.operations import JOB_RUNS, REJECTED_ROWS
from kinfolk.tables.catalog.sequences import FREQUENT_SEQUENCES
from kinfolk.tables.catalog.similarity import (
    GROUP_EVENTS,
    ITEM_COPIES,
    ITEM_GROUPS,
    ITEM_MATCHES,
    ITEM_NEIGHBORS,
    JOIN_AUDITS,
    JOINED_ITEMS,
    MATCH_AUDITS,
    MATCHED_COPIES,
    MATCHED_ITEMS,
    MATCHED_PAIRS,
    SIMILAR_PAIRS,
)
from kinfolk.tables.contract import Table

CATALOG: dict[str, Table] = {
    table.name: table
    for table in (
        RAW_ITEMS,
        RAW_EVENTS,
        CLEAN_ITEMS,
        CLEAN_EVENTS,
        REJECTED_ROWS,
        TEXT_VOCABULARY,
        ITEM_FEATURES,
        TRAINING_METRICS,
        ITEM_EMBEDDINGS,
        SIMILAR_PAIRS,
        ITEM_NEIGHBORS,
        ITEM_COPIES,
        JOINED_ITEMS,
        ITEM_GROUPS,
        GROUP_EVENTS,
        JOIN_AUDITS,
        ITEM_MATCHES,
        MATCHED_PAIRS,
        MATCHED_COPIES,
        MATCHED_ITEMS,
        MATCH_AUDITS,
        FREQUENT_ITEMSETS,
        ASSOCIATION_RULES,
        RULE_CHANGES,
        SEGMENT_ITEMSETS,
        SEGMENT_RULES,
        FREQUENT_SEQUENCES,
        ITEM_RECOMMENDATIONS,
        VALUABLE_ITEMSETS,
        JOB_RUNS,
    )
}

__all__ = [
    "ASSOCIATION_RULES",
    "CATALOG",
    "CLEAN_EVENTS",
    "CLEAN_ITEMS",
    "FREQUENT_ITEMSETS",
    "FREQUENT_SEQUENCES",
    "GROUP_EVENTS",
    "ITEM_COPIES",
    "ITEM_EMBEDDINGS",
    "ITEM_FEATURES",
    "ITEM_GROUPS",
    "ITEM_MATCHES",
    "ITEM_NEIGHBORS",
    "ITEM_RECOMMENDATIONS",
    "JOB_RUNS",
    "JOINED_ITEMS",
    "JOIN_AUDITS",
    "MATCHED_COPIES",
    "MATCHED_ITEMS",
    "MATCHED_PAIRS",
    "MATCH_AUDITS",
    "RAW_EVENTS",
    "RAW_ITEMS",
    "REJECTED_ROWS",
    "RULE_CHANGES",
    "SEGMENT_ITEMSETS",
    "SEGMENT_RULES",
    "SIMILAR_PAIRS",
    "TEXT_VOCABULARY",
    "TRAINING_METRICS",
    "VALUABLE_ITEMSETS",
]
