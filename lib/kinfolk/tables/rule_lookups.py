"""Rules and itemsets that hold some items and lie within some bounds, and baskets to show of a rule, without a JVM."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any, NamedTuple

import pyarrow as pa

from kinfolk.errors import NotFoundError
from kinfolk.tables.catalog import ASSOCIATION_RULES, CLEAN_EVENTS, FREQUENT_ITEMSETS
from kinfolk.tables.contract import Table
from kinfolk.tables.lake import Lake, count_rows
from kinfolk.tables.queries import ask_back, open_query, query_rows, quote_text

LENGTH = "length"
"""The number of items of a rule, both sides together, or of an itemset."""

_RULE_LENGTH = "CAST(array_length(antecedent) + array_length(consequent) AS BIGINT)"
_SUGGESTIONS = 3


class Bounds(NamedTuple):
    """Between which values, both allowed, a number of rules or itemsets has to lie. What has no value is outside."""

    name: str
    low: float = -inf
    high: float = inf


@dataclass(frozen=True)
class RuleFilter:
    """Which rules are wanted: of each collection of ids in `anywhere` one on either side, of those of a side one there.

    `bounds` are of numeric columns of association_rules, and of `LENGTH`.
    """

    anywhere: Sequence[Collection[str]] = ()
    antecedent: Sequence[Collection[str]] = ()
    consequent: Sequence[Collection[str]] = ()
    bounds: Sequence[Bounds] = ()


@dataclass(frozen=True)
class ItemsetFilter:
    """Which itemsets are wanted: of each collection of ids they hold one; `bounds` are of numeric columns.

    `marks` are the columns that have to be true, such as is_closed.
    """

    items: Sequence[Collection[str]] = ()
    bounds: Sequence[Bounds] = ()
    marks: Sequence[str] = ()


@dataclass(frozen=True)
class BasketItem:
    """An item of a basket; `is_in_rule` says whether it is in the rule that the basket is shown for."""

    item_id: str
    name: str
    is_in_rule: bool


@dataclass(frozen=True)
class Basket:
    """A basket with its items, those of the rule first, then by name.

    `time`, UTC, is that of the last of the rule's items, null where the source names none.
    """

    basket_id: str
    time: datetime | None
    customer_id: str | None
    items: list[BasketItem]


@dataclass(frozen=True)
class SampleBaskets:
    """Some baskets that hold both sides of a rule, and some exceptions: the antecedent, but not all of the consequent.

    The newest come first, then those without a time; ties by id.
    """

    both: list[Basket]
    exceptions: list[Basket]


def match_items(lake: Lake, wanted: Sequence[str]) -> list[dict[str, str]]:
    """The frequent items that each text means, id → name: the one with this id, or all whose name has it as a part.

    Case does not count, but an id that is written the same way wins. Raises NotFoundError where nothing fits, or
    nothing was mined yet.
    """
    if not wanted:
        return []
    known = _read_names(lake, FREQUENT_ITEMSETS, "items", "item_names")
    found = [_match(text, known) for text in wanted]
    if not all(found) and lake.exists(ASSOCIATION_RULES):
        # Itemsets may be written of some items only, and rules are made of all.
        for side in ("antecedent", "consequent"):
            known |= _read_names(lake, ASSOCIATION_RULES, side, f"{side}_names")
        found = [_match(text, known) for text in wanted]
    for text, items in zip(wanted, found, strict=True):
        if not items:
            raise NotFoundError(
                f"no frequent item has the id {text!r} or a name with it{_suggest_names(known, text.casefold())}; an "
                "item in fewer baskets than association.min_support asks for is in no rule"
            )
    return found


def _read_names(lake: Lake, table: Table, ids: str, names: str) -> dict[str, str]:
    each = f"SELECT unnest({ids}) AS item, unnest({names}) AS name FROM {table.name}"
    return dict(sorted(query_rows(lake, [_find_mined(lake, table)], f"SELECT DISTINCT item, name FROM ({each})")))


def _match(wanted: str, known: Mapping[str, str]) -> dict[str, str]:
    folded = wanted.casefold()
    tests: list[Callable[[str, str], bool]] = [
        lambda item_id, _: item_id == wanted,
        lambda item_id, _: item_id.casefold() == folded,
        lambda _, name: folded in name.casefold(),
    ]
    for fits in tests:
        found = {item_id: name for item_id, name in known.items() if fits(item_id, name)}
        if found:
            return found
    return {}


def _suggest_names(known: Mapping[str, str], folded: str) -> str:
    from difflib import get_close_matches

    shown = {text.casefold(): f"{item_id} ({name})" for item_id, name in known.items() for text in (name, item_id)}
    return ask_back([shown[text] for text in get_close_matches(folded, shown, n=_SUGGESTIONS)])


def count_mined(lake: Lake, table: Table) -> int:
    """How many rules, or itemsets, there are in all. Raises NotFoundError where nothing was mined yet."""
    return count_rows(lake.open(_find_mined(lake, table)))


def read_rules(lake: Lake, wanted: RuleFilter, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Columns of the wanted rules, `LENGTH` among those that can be asked for, some rows at a time in any order.

    Raises NotFoundError where nothing was mined yet.
    """
    tests = [f"({_hold('antecedent', ids)} OR {_hold('consequent', ids)})" for ids in wanted.anywhere]
    tests += [_hold("antecedent", ids) for ids in wanted.antecedent]
    tests += [_hold("consequent", ids) for ids in wanted.consequent]
    chosen = [f"{_RULE_LENGTH} AS {LENGTH}" if name == LENGTH else name for name in columns]
    tests += [test for bounds in wanted.bounds for test in _limit(bounds, _RULE_LENGTH)]
    query = f"SELECT {', '.join(chosen)} FROM association_rules WHERE {' AND '.join(tests) or 'true'}"
    schema = ASSOCIATION_RULES.arrow_schema()
    kinds = pa.schema([(name, pa.int64() if name == LENGTH else schema.field(name).type) for name in columns])
    yield pa.Table.from_batches([], kinds)
    for batch in open_query(lake, [_find_mined(lake, ASSOCIATION_RULES)], query):
        yield _cast(pa.Table.from_batches([batch]), kinds)


def read_itemsets(
    lake: Lake, wanted: ItemsetFilter, *, sort: str = "basket_count", is_ascending: bool = False, limit: int | None = 10
) -> pa.Table:
    """The wanted itemsets in the order of a column, ties by the number of items, then by id; `limit` None for all.

    Raises NotFoundError where nothing was mined yet.
    """
    tests = [_hold("items", ids) for ids in wanted.items]
    tests += [test for bounds in wanted.bounds for test in _limit(bounds, LENGTH)]
    tests += wanted.marks
    columns = [name for name in FREQUENT_ITEMSETS.content if name != "itemset_id"]
    direction = "ASC" if is_ascending else "DESC"
    query = f"""SELECT {", ".join(columns)} FROM frequent_itemsets WHERE {" AND ".join(tests) or "true"}
        ORDER BY {sort} {direction}, length, itemset_id {"" if limit is None else f"LIMIT {limit}"}"""
    found = open_query(lake, [_find_mined(lake, FREQUENT_ITEMSETS)], query).read_all()
    schema = FREQUENT_ITEMSETS.arrow_schema()
    return _cast(found, pa.schema([schema.field(name) for name in columns]))


def read_rule(lake: Lake, antecedent_id: str, consequent_id: str) -> dict[str, Any]:
    """All columns of one rule. Raises NotFoundError where it is gone."""
    key = f"antecedent_id = {quote_text(antecedent_id)} AND consequent_id = {quote_text(consequent_id)}"
    names = ASSOCIATION_RULES.content
    rows = query_rows(lake, [ASSOCIATION_RULES], f"SELECT {', '.join(names)} FROM association_rules WHERE {key}")
    if not rows:
        raise NotFoundError(
            f"the rule {antecedent_id} → {consequent_id} is gone: rules were mined meanwhile; ask again"
        )
    return dict(zip(names, rows[0], strict=True))


def sample_baskets(
    lake: Lake,
    antecedent: Mapping[str, str],
    consequent: Mapping[str, str],
    *,
    limit: int = 3,
    members: Mapping[str, Collection[str]] | None = None,
) -> SampleBaskets:
    """At most `limit` baskets of clean_events of either kind; both sides of the rule are given as id → name.

    A basket holds one of the `members` wherever it holds one of these items. Raises NotFoundError where there are no
    clean_events.
    """
    names = dict(antecedent) | dict(consequent)
    meant = {item: (members or {}).get(item, (item,)) for item in names}
    held = [
        " + ".join(f"max(CASE WHEN {_is_in('item_id', meant[item])} THEN 1 ELSE 0 END)" for item in side)
        for side in (antecedent, consequent)
    ]
    every = [item_id for some in meant.values() for item_id in some]
    chosen = [
        query_rows(
            lake,
            [CLEAN_EVENTS],
            f"""SELECT basket_id, max(event_time) AS newest, min(customer_id) AS customer FROM clean_events
            WHERE {_is_in("item_id", every)} GROUP BY basket_id
            HAVING {held[0]} = {len(antecedent)} AND {held[1]} {compared} {len(consequent)}
            ORDER BY newest DESC NULLS LAST, basket_id LIMIT {limit}""",
        )
        for compared in ("=", "<")
    ]
    told = {item_id: names.get(item_id) for item_id in every}
    contents = _read_contents(lake, [basket_id for rows in chosen for basket_id, _, _ in rows], told)
    both, exceptions = (
        [Basket(basket_id, time, customer, contents[basket_id]) for basket_id, time, customer in rows]
        for rows in chosen
    )
    return SampleBaskets(both, exceptions)


def read_categories(lake: Lake) -> pa.Table:
    """How many lines of clean_events name an item with a category: item_id, category, lines."""
    query = "SELECT item_id, category, count(*) FROM clean_events WHERE category IS NOT NULL GROUP BY item_id, category"
    rows = query_rows(lake, [CLEAN_EVENTS], query)
    schema = pa.schema([("item_id", pa.string()), ("category", pa.string()), ("lines", pa.int64())])
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


def _read_contents(
    lake: Lake, basket_ids: Sequence[str], names: Mapping[str, str | None]
) -> dict[str, list[BasketItem]]:
    """The items of baskets; those of the rule are called what the rule calls them, if it does."""
    contents: dict[str, list[BasketItem]] = {basket_id: [] for basket_id in basket_ids}
    if not basket_ids:
        return contents
    query = f"""SELECT basket_id, item_id, coalesce(max(item_name), item_id) FROM clean_events
        WHERE {_is_in("basket_id", basket_ids)} GROUP BY basket_id, item_id"""
    for basket_id, item_id, name in query_rows(lake, [CLEAN_EVENTS], query):
        contents[basket_id].append(BasketItem(item_id, names.get(item_id) or name, item_id in names))
    for items in contents.values():
        items.sort(key=lambda item: (not item.is_in_rule, item.name, item.item_id))
    return contents


def _find_mined(lake: Lake, table: Table) -> Table:
    """The table. Raises NotFoundError where it does not stand, naming the job."""
    if not lake.exists(table):
        raise NotFoundError(
            f"there is no table {table.name} in the lake {lake.root}; the mine job writes it: `kinfolk run --settings "
            "FILE --only mine` once events were ingested and cleaned, or give the right lake with --set lake.root=PATH"
        )
    return table


def _cast(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows with the types of the contract: DataFusion gives views of texts, which Arrow sorts and writes less well."""
    return rows.cast(pa.schema([field.with_nullable(nullable=True) for field in schema]))


def _hold(column: str, ids: Collection[str]) -> str:
    return f"array_has_any({column}, make_array({_list(ids)}))"


def _is_in(column: str, values: Collection[str]) -> str:
    return f"{column} IN ({_list(values)})"


def _list(values: Collection[str]) -> str:
    return ", ".join(map(quote_text, values))


def _limit(bounds: Bounds, length: str) -> Iterator[str]:
    """What SQL asks of a number; `length` is how the number of items is said."""
    column = length if bounds.name == LENGTH else bounds.name
    if bounds.low > -inf:
        yield f"{column} >= {float(bounds.low)!r}"
    if bounds.high < inf:
        yield f"{column} <= {float(bounds.high)!r}"
    if bounds.low == -inf and bounds.high == inf:
        yield f"{column} IS NOT NULL"
