"""Recommendations on Spark: every task holds its subjects against the same rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from kinfolk.association.measures import MEASURES, count, measure
from kinfolk.association.rows import read_categories
from kinfolk.association.scoring import RECOMMENDATIONS, RuleIndex
from kinfolk.association.taxonomy import build_taxonomy, holds_category
from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import RecommendationSettings
from kinfolk.tables.scans import read_frame
from kinfolk.tasks.machines import open_scratch
from kinfolk.tasks.shipping import receive, ship

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_COUNTS = ("basket_count", "antecedent_count", "consequent_count", "baskets")
_RULES = (
    "antecedent_id",
    "consequent_id",
    "antecedent",
    "consequent",
    "antecedent_names",
    "consequent_names",
    *_COUNTS,
)
_SUBJECTS = {"customer": "customer_id", "basket": "basket_id"}


@dataclass(frozen=True)
class Recommendations:
    """Recommended items (subject_id, rank, item_id, …), from rules in a file that `close` removes.

    `left_out` rules would recommend a category, or go by categories where nothing says what these are.
    """

    items: DataFrame
    rules: int
    left_out: int
    close: Callable[[], None]


def group_subjects(events: DataFrame, settings: RecommendationSettings) -> DataFrame:
    """What each customer, or each basket, holds: subject_id and items. Events without one are left out.

    Raises DataError where the events have no such column.
    """
    column = _SUBJECTS[settings.subject]
    if column not in events.columns:
        raise DataError(
            f"the columns are {', '.join(events.columns)}; recommendation.subject is {settings.subject}, which needs "
            f"{column}: add it, or set recommendation.subject to one of {', '.join(_SUBJECTS)}"
        )
    held = events.where(F.col(column).isNotNull()).groupBy(F.col(column).alias("subject_id"))
    return held.agg(F.collect_set("item_id").alias("items"))


def recommend_items(
    subjects: DataFrame,
    rules: DataFrame,
    settings: RecommendationSettings,
    *,
    categories: DataFrame | None = None,
    scratch: str | None = None,
) -> Recommendations:
    """Recommend items to subjects (subject_id, items) by rules, as the mining job writes them.

    `categories` (item_id, category) say what items are, for rules from categories; a row may come again. No category is
    ever recommended. `scratch` is a folder that the driver and all executors reach; on one machine a temporary one
    serves. Raises SettingsError for a measure that there is not.
    """
    if settings.measure not in MEASURES:
        raise SettingsError(
            f"recommendation.measure is {settings.measure}; the measures are {', '.join(sorted(MEASURES))}"
        )
    scored = score_rules(read_frame(rules.select(*_RULES), threads=1), settings)
    has_category_Q = holds_category(scored["antecedent"])
    taxonomy = None
    if categories is not None and pc.any(has_category_Q).as_py():
        taxonomy = build_taxonomy(read_categories(categories))
    is_of_items_Q = pc.invert(holds_category(scored["consequent"]))
    known = scored.filter(is_of_items_Q if taxonomy else pc.and_not(is_of_items_Q, has_category_Q))
    folder, remove = open_scratch(subjects.sparkSession, scratch, name="recommend")
    path, most = ship(RuleIndex(known, taxonomy), folder), settings.items

    def recommend(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        index: RuleIndex = receive(path)
        for batch in batches:
            yield from index.recommend(pa.Table.from_batches([batch]), most).to_batches()

    items = subjects.select("subject_id", "items").mapInArrow(recommend, from_arrow_schema(RECOMMENDATIONS))
    return Recommendations(items, known.num_rows, scored.num_rows - known.num_rows, remove)


def score_rules(rules: pa.Table, settings: RecommendationSettings) -> pa.Table:
    """The rules with their scores; those without one, and those below the least, are left out."""
    counts = count(*(rules[name].to_numpy() for name in _COUNTS))
    score_Q = measure(settings.measure, counts)
    is_known_Q = ~np.isnan(score_Q) & (measure("lift", counts) >= settings.min_lift)
    return rules.append_column("score", pa.array(score_Q)).filter(pa.array(is_known_Q))
