"""Items with their nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass

from kinfolk.report.pictures import Card, read_cards
from kinfolk.report.pinned import PinnedTables, Row
from kinfolk.settings import Settings
from kinfolk.tables.catalog import ITEM_FEATURES, ITEM_NEIGHBORS

SHOWN_NEIGHBORS = 5


@dataclass(frozen=True)
class Neighbor:
    """A neighbour: its rank, its card, the cosine, and whether it shows what the item shows."""

    rank: int
    card: Card
    similarity: float
    is_same_subject: bool


@dataclass(frozen=True)
class Example:
    """An item with its nearest neighbours."""

    card: Card
    is_held_out: bool
    neighbors: tuple[Neighbor, ...]


@dataclass(frozen=True)
class Neighborhood:
    """Examples, and how often the first neighbour shows the same subject, by split as (words, items, share)."""

    examples: tuple[Example, ...]
    first_hits: tuple[tuple[str, int, float], ...]


def read_neighbors(tables: PinnedTables, settings: Settings) -> Neighborhood | None:
    """Examples, held-out items first, otherwise in an order that does not know how good they are; None without any."""
    if not tables.has(ITEM_NEIGHBORS) or settings.report.neighbor_examples == 0:
        return None
    chosen = _choose(tables, settings.report.neighbor_examples)
    ids = [row["item_id"] for row in chosen]
    found = [
        row
        for row in tables.find(ITEM_NEIGHBORS, "item_id", ids, ("item_id", "rank", "neighbor_id", "similarity"))
        if row["rank"] <= SHOWN_NEIGHBORS
    ]
    cards = read_cards(tables, [*ids, *(row["neighbor_id"] for row in found)])
    examples = tuple(_example(row, found, cards) for row in chosen)
    return Neighborhood(examples, _measure_first_hits(tables))


def _choose(tables: PinnedTables, most: int) -> list[Row]:
    """Items by the hash of their id, one a subject (the plain one where there is one), held-out ones first."""
    has_split = tables.has(ITEM_FEATURES)
    columns = "f.subject_id, f.variant, f.split = 'held_out'" if has_split else "n.item_id AS subject_id, NULL, false"
    join = "JOIN item_features f ON f.item_id = n.item_id" if has_split else ""
    sql = f"""
        WITH candidates(item_id, subject_id, variant, is_held_out) AS (
            SELECT n.item_id, {columns} FROM item_neighbors n {join} WHERE n.rank = 1),
        ranked AS (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY subject_id ORDER BY variant IS NOT NULL, md5(item_id)) AS place
            FROM candidates)
        SELECT item_id, is_held_out FROM ranked WHERE place = 1
        ORDER BY is_held_out DESC, md5(item_id) LIMIT {most:d}"""
    return tables.query(sql, ITEM_NEIGHBORS, *([ITEM_FEATURES] if has_split else []))


def _example(chosen: Row, found: list[Row], cards: dict[str, Card]) -> Example:
    card = cards[chosen["item_id"]]
    mine = sorted((row for row in found if row["item_id"] == card.item_id), key=lambda row: int(row["rank"]))
    neighbors = tuple(
        Neighbor(row["rank"], other, row["similarity"], other.subject_id == card.subject_id)
        for row in mine
        for other in [cards[row["neighbor_id"]]]
    )
    return Example(card, chosen["is_held_out"], neighbors)


def _measure_first_hits(tables: PinnedTables) -> tuple[tuple[str, int, float], ...]:
    if not tables.has(ITEM_FEATURES):
        return ()
    sql = """
        SELECT a.split, COUNT(*) AS items, AVG(CASE WHEN a.subject_id = b.subject_id THEN 1.0 ELSE 0.0 END) AS share
        FROM item_neighbors n
        JOIN item_features a ON a.item_id = n.item_id JOIN item_features b ON b.item_id = n.neighbor_id
        WHERE n.rank = 1 GROUP BY a.split ORDER BY a.split"""
    words = {"held_out": "held-out items", "train": "items the encoder was trained on"}
    rows = tables.query(sql, ITEM_NEIGHBORS, ITEM_FEATURES)
    return tuple((words[row["split"]], row["items"], row["share"]) for row in rows)
