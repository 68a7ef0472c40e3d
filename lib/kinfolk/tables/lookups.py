"""Answers from the tables without a JVM: what there is, what resembles an item, any SELECT.

Everything returned is plain data, a whole table of embeddings aside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pyarrow as pa
from deltalake.exceptions import DeltaError

from kinfolk.errors import KinfolkError, NotFoundError, SettingsError
from kinfolk.tables.catalog import (
    CATALOG,
    CLEAN_ITEMS,
    ITEM_COPIES,
    ITEM_EMBEDDINGS,
    ITEM_GROUPS,
    ITEM_NEIGHBORS,
    JOIN_AUDITS,
    SIMILAR_PAIRS,
)
from kinfolk.tables.contract import Table
from kinfolk.tables.lake import Lake, count_rows
from kinfolk.tables.queries import ask_back, check_limit, iterate_rows, open_query, query_rows, quote_text

_SUGGESTIONS = 3


@dataclass(frozen=True)
class TableInfo:
    """One table of the catalog; rows, version and time of the last commit are None where it does not stand yet."""

    name: str
    rows: int | None
    version: int | None
    updated: datetime | None
    meaning: str


@dataclass(frozen=True)
class Neighbor:
    """An item near another: rank from 1, cosine, and what is known of it."""

    rank: int
    item_id: str
    similarity: float
    text: str | None
    label: str | None


@dataclass(frozen=True)
class SimilarItems:
    """What resembles an item.

    `copies` are the items with the very same embedding; where the item is represented by one of them, that is
    `representative_id`, and the neighbours are the representative's. An item without a group has None and size 1.
    """

    item_id: str
    text: str | None
    label: str | None
    representative_id: str | None
    copies: list[str]
    group_id: str | None
    group_size: int
    neighbors: list[Neighbor]


@dataclass(frozen=True)
class PairedItem:
    """One of two items: what is known of it, and its embedding where one was asked for.

    `representative_id` is the item that stands for it in similar_pairs, where it is a copy of that one.
    """

    item_id: str
    text: str | None
    label: str | None
    representative_id: str | None
    embedding: list[float] | None


@dataclass(frozen=True)
class ItemPair:
    """Two items, and what the last join says of them.

    `similarity` stands in similar_pairs, for the two or those that represent them; it is None where they are no similar
    pair, and where they are copies of one item (`is_identical`). `measure` is that join's, None where it left no audit.
    """

    left: PairedItem
    right: PairedItem
    is_identical: bool
    similarity: float | None
    measure: str | None


@dataclass(frozen=True)
class Embeddings:
    """All embeddings of a modality (item_id, value), the version of item_embeddings, and the models that made them."""

    rows: pa.Table
    version: int
    models: list[str]


@dataclass(frozen=True)
class SqlAnswer:
    """Columns and rows of a query; `is_cut` says that there were more rows than the limit."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    is_cut: bool


def list_tables(lake: Lake) -> list[TableInfo]:
    """Every table of the catalog, in the order in which the data goes, also those that do not stand yet."""
    return [_describe(lake, table) for table in CATALOG.values()]


def find_similar(lake: Lake, item_id: str, limit: int = 10) -> SimilarItems:
    """The nearest neighbours, the copies and the group of an item. Raises NotFoundError with the nearest ids."""
    check_limit(limit)
    text, label = _read_card(lake, item_id)
    representative = _read_representative(lake, item_id)
    group_id, group_size = _read_group(lake, item_id)
    return SimilarItems(
        item_id=item_id,
        text=text,
        label=label,
        representative_id=representative,
        copies=_read_copies(lake, item_id, representative or item_id),
        group_id=group_id,
        group_size=group_size,
        neighbors=_read_neighbors(lake, representative or item_id, limit),
    )


def find_pair(lake: Lake, left_id: str, right_id: str, *, modality: str | None = None) -> ItemPair:
    """Two items, with their embeddings of a modality where one is named, and what the last join says of them.

    Raises NotFoundError for an item or an embedding that is not there, and SettingsError for an item with itself.
    """
    if left_id == right_id:
        raise SettingsError(f"{left_id!r} came twice; name two items")
    left, right = (_read_paired(lake, item_id, modality) for item_id in (left_id, right_id))
    ends = sorted(item.representative_id or item.item_id for item in (left, right))
    return ItemPair(left, right, ends[0] == ends[1], _read_similarity(lake, *ends), _read_measure(lake))


def read_embeddings(lake: Lake, modality: str) -> Embeddings:
    """The embeddings of a modality, none where the encoder has none of it; models are named name/version."""
    version = lake.snapshot(ITEM_EMBEDDINGS).version
    columns = ("item_id", "embedding", "model_name", "model_version")
    rows = lake.read(ITEM_EMBEDDINGS, columns, [("modality", "=", modality)], version)
    made = rows.group_by(["model_name", "model_version"]).aggregate([]).to_pylist()
    models = sorted(f"{model['model_name']}/{model['model_version']}" for model in made)
    return Embeddings(rows.select(["item_id", "embedding"]).rename_columns(["item_id", "value"]), version, models)


def run_sql(lake: Lake, query: str, limit: int = 100) -> SqlAnswer:
    """Answer a SELECT over the lake's tables, by their names, with at most `limit` rows; nothing can be written.

    Raises SettingsError for a query that is not a SELECT or cannot be answered, NotFoundError for a table that is not
    there.
    """
    check_limit(limit)
    if not re.match(r"[\s(]*(select|with)\b", query, re.IGNORECASE):
        raise SettingsError("only SELECT is answered (it may begin with WITH): the look-ups never change a table")
    named = {word.lower() for word in re.findall(r"\w+", query)}
    tables = [table for table in CATALOG.values() if table.name in named and lake.exists(table)]
    try:
        reader = open_query(lake, tables, query)
        rows = list(islice(iterate_rows(reader), limit + 1))
    except (DeltaError, pa.ArrowException) as error:
        raise _explain(lake, str(error)) from None
    return SqlAnswer(list(reader.schema.names), rows[:limit], len(rows) > limit)


def _describe(lake: Lake, table: Table) -> TableInfo:
    if not lake.exists(table):
        return TableInfo(table.name, None, None, None, table.meaning)
    opened = lake.open(table)
    milliseconds = opened.history(1)[0]["timestamp"]
    updated = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return TableInfo(table.name, count_rows(opened), opened.version(), updated, table.meaning)


def _read_cards(lake: Lake, item_ids: list[str]) -> dict[str, tuple[str | None, str | None]]:
    """Text and label of items, by id."""
    listed = ", ".join(map(quote_text, item_ids))
    rows = query_rows(lake, [CLEAN_ITEMS], f"SELECT item_id, text, label FROM clean_items WHERE item_id IN ({listed})")
    return {item_id: (text, label) for item_id, text, label in rows}


def _read_card(lake: Lake, item_id: str) -> tuple[str | None, str | None]:
    """Text and label of one item. Raises NotFoundError with the nearest ids."""
    cards = _read_cards(lake, [item_id])
    if item_id not in cards:
        raise NotFoundError(f"there is no item {item_id!r} in clean_items{_suggest_items(lake, item_id)}")
    return cards[item_id]


def _read_paired(lake: Lake, item_id: str, modality: str | None) -> PairedItem:
    text, label = _read_card(lake, item_id)
    embedding = _read_embedding(lake, item_id, modality) if modality else None
    return PairedItem(item_id, text, label, _read_representative(lake, item_id), embedding)


def _read_embedding(lake: Lake, item_id: str, modality: str) -> list[float]:
    where = f"item_id = {quote_text(item_id)}"
    query = f"SELECT embedding FROM item_embeddings WHERE {where} AND modality = {quote_text(modality)}"
    found = query_rows(lake, [ITEM_EMBEDDINGS], query)
    if found:
        return list(found[0][0])
    others = query_rows(
        lake, [ITEM_EMBEDDINGS], f"SELECT modality FROM item_embeddings WHERE {where} ORDER BY modality"
    )
    there = ", ".join(row[0] for row in others)
    remedy = f"it has one of {there}: --set similarity.modality=NAME" if there else "it has none at all"
    raise NotFoundError(f"item {item_id!r} has no embedding of modality {modality}; {remedy}")


def _read_similarity(lake: Lake, left_id: str, right_id: str) -> float | None:
    where = f"left_id = {quote_text(left_id)} AND right_id = {quote_text(right_id)}"
    rows = query_rows(lake, [SIMILAR_PAIRS], f"SELECT similarity FROM similar_pairs WHERE {where}")
    return next((row[0] for row in rows), None)


def _read_measure(lake: Lake) -> str | None:
    """The measure of the last join."""
    if not lake.exists(JOIN_AUDITS):
        return None
    query = "SELECT measure FROM join_audits ORDER BY updated_at DESC, join_run_id DESC LIMIT 1"
    return next((row[0] for row in query_rows(lake, [JOIN_AUDITS], query)), None)


def _read_representative(lake: Lake, item_id: str) -> str | None:
    query = f"SELECT representative_id FROM item_copies WHERE item_id = {quote_text(item_id)}"
    return next((row[0] for row in query_rows(lake, [ITEM_COPIES], query)), None)


def _read_copies(lake: Lake, item_id: str, representative: str) -> list[str]:
    query = f"SELECT item_id FROM item_copies WHERE representative_id = {quote_text(representative)}"
    identical = {representative, *(row[0] for row in query_rows(lake, [ITEM_COPIES], query))}
    return sorted(identical - {item_id})


def _read_group(lake: Lake, item_id: str) -> tuple[str | None, int]:
    query = f"SELECT group_id, group_size FROM item_groups WHERE item_id = {quote_text(item_id)}"
    return next(((group, size) for group, size in query_rows(lake, [ITEM_GROUPS], query)), (None, 1))


def _read_neighbors(lake: Lake, item_id: str, limit: int) -> list[Neighbor]:
    rows = query_rows(
        lake,
        [ITEM_NEIGHBORS],
        f"""SELECT "rank", neighbor_id, similarity FROM item_neighbors
        WHERE item_id = {quote_text(item_id)} ORDER BY "rank" LIMIT {limit}""",
    )
    cards = _read_cards(lake, [neighbor for _, neighbor, _ in rows]) if rows else {}
    return [
        Neighbor(rank, neighbor, similarity, *cards.get(neighbor, (None, None))) for rank, neighbor, similarity in rows
    ]


def _suggest_items(lake: Lake, wanted: str) -> str:
    """The items whose text has the words, then those whose id is spelt nearest."""
    rows = query_rows(
        lake,
        [CLEAN_ITEMS],
        f"""SELECT item_id, text FROM clean_items
        ORDER BY strpos(lower(coalesce(text, '')), lower({quote_text(wanted)})) = 0,
        levenshtein(item_id, {quote_text(wanted)}), item_id LIMIT {_SUGGESTIONS}""",
    )
    return ask_back([f"{item_id} ({text[:40]})" if text else item_id for item_id, text in rows])


def _explain(lake: Lake, message: str) -> KinfolkError:
    missing = re.search(r"table '(?:datafusion\.public\.)?([^']+)' not found", message)
    if missing is None:
        return SettingsError(f"the query cannot be answered: {message}")
    if missing[1] in CATALOG:
        return NotFoundError(f"there is no table {missing[1]} in the lake {lake.root} yet; run the job that writes it")
    there = ", ".join(table.name for table in CATALOG.values() if lake.exists(table)) or "none yet"
    return NotFoundError(f"there is no table {missing[1]}; there are: {there}")
