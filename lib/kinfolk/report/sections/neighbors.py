"""Items with their nearest neighbours, or with what matches them on another side."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kinfolk.report.formatting import format_words
from kinfolk.report.pictures import Card, read_cards
from kinfolk.report.pinned import PinnedTables, Row
from kinfolk.settings import JoinSettings, Settings
from kinfolk.tables.catalog import ITEM_FEATURES, ITEM_MATCHES, ITEM_NEIGHBORS
from kinfolk.tables.contract import Table

SHOWN_NEIGHBORS = 5


@dataclass(frozen=True)
class Neighbor:
    """A neighbour: its rank, its card, the similarity, and whether it shows what the item shows."""

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
    """Examples, and how often the first neighbour shows the same subject, by split as (words, items, share).

    `hit` says in words what that is, `measure` what the similarities are.
    """

    examples: tuple[Example, ...]
    first_hits: tuple[tuple[str, int, float], ...]
    hit: str
    measure: str


@dataclass(frozen=True)
class _Lists:
    """A table of items with others by rank, and the column of the others."""

    table: Table
    other: str


_NEIGHBORS, _MATCHES = _Lists(ITEM_NEIGHBORS, "neighbor_id"), _Lists(ITEM_MATCHES, "match_id")


def read_neighbors(tables: PinnedTables, settings: Settings) -> Neighborhood | None:
    """Examples, held-out items first, otherwise in an order that does not know how good they are; None without any."""
    hit = "another picture of the same subject as their nearest neighbour"
    return _read(tables, settings, _NEIGHBORS, settings.similarity, hit)


def read_matches(tables: PinnedTables, settings: Settings) -> Neighborhood | None:
    """The same of the items of one side and what they resemble on the other, each as it was compared."""
    wanted = settings.matching
    found = _read(tables, settings, _MATCHES, wanted, "the same subject as their best match")
    if found is None:
        return None
    by_text, near_by_text = (
        not wanted.compares_vectors or (side is not None and side.modality == "text")
        for side in (wanted.left, wanted.right)
    )
    examples = [
        replace(
            example,
            card=_as_text(example.card) if by_text else example.card,
            neighbors=tuple(
                replace(near, card=_as_text(near.card)) if near_by_text else near for near in example.neighbors
            ),
        )
        for example in found.examples
    ]
    return replace(found, examples=tuple(examples))


def _as_text(card: Card) -> Card:
    return replace(card, picture=None)


def _read(tables: PinnedTables, settings: Settings, lists: _Lists, join: JoinSettings, hit: str) -> Neighborhood | None:
    if not tables.has(lists.table) or settings.report.neighbor_examples == 0:
        return None
    chosen = _choose(tables, lists, settings.report.neighbor_examples)
    ids = [row["item_id"] for row in chosen]
    found = [
        row
        for row in tables.find(lists.table, "item_id", ids, ("item_id", "rank", lists.other, "similarity"))
        if row["rank"] <= SHOWN_NEIGHBORS
    ]
    cards = read_cards(tables, [*ids, *(row[lists.other] for row in found)])
    examples = tuple(_example(row, found, cards, lists.other) for row in chosen)
    return Neighborhood(examples, _measure_first_hits(tables, lists), hit, format_words(join.measure))


def _choose(tables: PinnedTables, lists: _Lists, most: int) -> list[Row]:
    """Items by the hash of their id, one a subject (the plain one where there is one), held-out ones first."""
    has_split = tables.has(ITEM_FEATURES)
    columns = "f.subject_id, f.variant, f.split = 'held_out'" if has_split else "n.item_id AS subject_id, NULL, false"
    join = "JOIN item_features f ON f.item_id = n.item_id" if has_split else ""
    sql = f"""
        WITH candidates(item_id, subject_id, variant, is_held_out) AS (
            SELECT n.item_id, {columns} FROM {lists.table.name} n {join} WHERE n.rank = 1),
        ranked AS (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY subject_id ORDER BY variant IS NOT NULL, md5(item_id)) AS place
            FROM candidates)
        SELECT item_id, is_held_out FROM ranked WHERE place = 1
        ORDER BY is_held_out DESC, md5(item_id) LIMIT {most:d}"""
    return tables.query(sql, lists.table, *([ITEM_FEATURES] if has_split else []))


def _example(chosen: Row, found: list[Row], cards: dict[str, Card], other: str) -> Example:
    card = cards[chosen["item_id"]]
    mine = sorted((row for row in found if row["item_id"] == card.item_id), key=lambda row: int(row["rank"]))
    neighbors = tuple(
        Neighbor(row["rank"], near, row["similarity"], near.subject_id == card.subject_id)
        for row in mine
        for near in [cards[row[other]]]
    )
    return Example(card, chosen["is_held_out"], neighbors)


def _measure_first_hits(tables: PinnedTables, lists: _Lists) -> tuple[tuple[str, int, float], ...]:
    if not tables.has(ITEM_FEATURES):
        return ()
    sql = f"""
        SELECT a.split, COUNT(*) AS items, AVG(CASE WHEN a.subject_id = b.subject_id THEN 1.0 ELSE 0.0 END) AS share
        FROM {lists.table.name} n
        JOIN item_features a ON a.item_id = n.item_id JOIN item_features b ON b.item_id = n.{lists.other}
        WHERE n.rank = 1 GROUP BY a.split ORDER BY a.split"""
    words = {"held_out": "held-out items", "train": "items the encoder was trained on"}
    rows = tables.query(sql, lists.table, ITEM_FEATURES)
    return tuple((words[row["split"]], row["items"], row["share"]) for row in rows)
