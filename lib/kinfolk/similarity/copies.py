"""From pairs of representatives to pairs of items: what item_copies stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_EXPANSION = """
WITH members AS (
  SELECT item_id, representative_id FROM {copies}
  UNION SELECT representative_id, representative_id FROM {copies}
  UNION SELECT left_id, left_id FROM {pairs}
  UNION SELECT right_id, right_id FROM {pairs}
)
SELECT least(l.item_id, r.item_id) AS left_id, greatest(l.item_id, r.item_id) AS right_id, similarity
FROM {pairs} AS p
JOIN members AS l ON l.representative_id = p.left_id
JOIN members AS r ON r.representative_id = p.right_id
UNION ALL
SELECT l.item_id, r.item_id, 1D
FROM members AS l JOIN members AS r ON l.representative_id = r.representative_id AND l.item_id < r.item_id
"""


def expand_pairs(pairs: DataFrame, copies: DataFrame) -> DataFrame:
    """All pairs of items, each once: what holds of representatives holds of their copies, and copies are all alike.

    Takes similar_pairs and item_copies; gives left_id < right_id and similarity. A hundred thousand copies of one item
    are five billion pairs: filter by item where that can be.
    """
    return pairs.sparkSession.sql(_EXPANSION, pairs=pairs, copies=copies)
