"""Which of tonight's groups is which of last night's: stable ids, and the events that led from one to the other.

A group is followed by its members. It keeps the id of the previous group from which it has most of them (of equal ones
the larger, then the one whose id sorts first); where several groups would keep one id, the one with most of its members
does (then the larger, then the one whose first member sorts first). Any other group is named after its first member
that names no previous group, so an id that is given up tonight means nothing else tonight.

What is compared are flows: how many items went from a previous group, or from none, to a group of tonight, or to none.
Spark counts them; matching them takes arrays of one entry a flow.

Shape suffixes: F flows, G groups of tonight, H previous groups, E events, R rows; -1 stands for none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Codes = NDArray[np.int64]

EVENTS = pa.schema(
    [
        ("group_id", pa.string()),
        ("event", pa.string()),
        ("items", pa.int64()),
        ("items_before", pa.int64()),
        ("items_after", pa.int64()),
        ("from_group_ids", pa.list_(pa.string())),
    ]
)

_FLOWS = """
WITH taken AS (SELECT DISTINCT group_id FROM {previous})
SELECT m.first_id, p.group_id AS previous_id, count(*) AS items, min(if(t.group_id IS NULL, item_id, NULL)) AS free_id
FROM {members} AS m FULL JOIN {previous} AS p USING (item_id) LEFT JOIN taken AS t ON t.group_id = item_id
GROUP BY m.first_id, p.group_id
"""

_NAMED = """
SELECT item_id, coalesce(group_id, first_id) AS group_id, group_size, weakest_link, diameter
FROM {members} LEFT JOIN {names} USING (first_id)
"""


@dataclass(frozen=True)
class Matching:
    """Tonight's groups, in the order of their first members, and the previous ones, in the order of their ids.

    `id_G` the ids of tonight, and `first_G` the first members; `kept_G` the previous group whose id each keeps,
    `best_G` the one from which it has most members; `size_G` and `size_H` the items of each; `items_F` the items that
    went from `before_F` to `after_F`.
    """

    first_G: pa.StringArray
    id_G: pa.StringArray
    kept_G: Codes
    best_G: Codes
    size_G: Codes
    id_H: pa.StringArray
    size_H: Codes
    before_F: Codes
    after_F: Codes
    items_F: Codes


def follow_groups(members: DataFrame, previous: DataFrame | None) -> tuple[DataFrame, pa.Table]:
    """Name tonight's groups, and tell what became of the previous ones.

    Takes the members of tonight's groups with first_id, the first member of each, and what else item_groups says of
    them; item_id and group_id of the previous groups. Gives item_groups, and the events (`EVENTS`).
    """
    spark = members.sparkSession
    if previous is None:
        previous = spark.createDataFrame([], "item_id string, group_id string")
    matching = match_groups(spark.sql(_FLOWS, members=members, previous=previous).toArrow())
    names = pa.table({"first_id": matching.first_G, "group_id": matching.id_G})
    is_other = pc.not_equal(matching.first_G, matching.id_G)
    named = spark.sql(_NAMED, members=members, names=spark.createDataFrame(names.filter(is_other)))
    return named, list_events(matching)


def match_groups(flows: pa.Table) -> Matching:
    """Match groups by their flows: first_id and previous_id (null for none), items, and free_id.

    free_id is the first of those items that names no previous group, null where all do.
    """
    id_H, before_F = _encode(flows["previous_id"])
    first_G, after_F = _encode(flows["first_id"])
    items_F = flows["items"].to_numpy()
    size_H, size_G = _sum_by(before_F, items_F, len(id_H)), _sum_by(after_F, items_F, len(first_G))
    stays = np.flatnonzero((before_F >= 0) & (after_F >= 0))
    before, after = before_F[stays], after_F[stays]
    best = stays[_first_of_each(after, (before, -size_H[before], -items_F[stays]))]
    before, after = before_F[best], after_F[best]
    winners = best[_first_of_each(before, (after, -size_G[after], -items_F[best]))]
    best_G, kept_G = np.full((2, len(first_G)), -1)
    best_G[after_F[best]] = before_F[best]
    kept_G[after_F[winners]] = before_F[winners]
    id_G = _name_groups(first_G, _find_free_ids(flows, first_G), id_H, kept_G)
    return Matching(first_G, id_G, kept_G, best_G, size_G, id_H, size_H, before_F, after_F, items_F)


def _encode(ids: pa.ChunkedArray) -> tuple[pa.StringArray, Codes]:
    """The different ids in order, and the place of each among them, -1 for null."""
    different = pc.unique(ids.drop_null()).sort()
    codes = pc.fill_null(pc.index_in(ids, different), -1)
    return different, codes.to_numpy().astype(np.int64)


def _sum_by(code_F: Codes, items_F: Codes, count: int) -> Codes:
    sum_C = np.zeros(count, np.int64)
    np.add.at(sum_C, code_F[code_F >= 0], items_F[code_F >= 0])
    return sum_C


def _first_of_each(code_R: Codes, order: tuple[Codes, ...]) -> Codes:
    """For each code the row that comes first in an order, whose last key counts most."""
    row_R = np.lexsort([*order, code_R])
    return row_R[np.unique(code_R[row_R], return_index=True)[1]]


def _find_free_ids(flows: pa.Table, first_G: pa.StringArray) -> list[str | None]:
    """For each group the first of its members that names no previous group."""
    free = flows.filter(pc.is_valid(flows["free_id"])).sort_by("free_id")
    # Written from the last to the first, so that the first stays.
    free_of = dict(zip(reversed(free["first_id"].to_pylist()), reversed(free["free_id"].to_pylist()), strict=True))
    return [free_of.get(first) for first in first_G.to_pylist()]


def _name_groups(
    first_G: pa.StringArray, free_G: list[str | None], id_H: pa.StringArray, kept_G: Codes
) -> pa.StringArray:
    """The id kept, else the free one; where all members name previous groups, the first with the first free number."""
    kept_id_G = id_H.take(pa.array(kept_G, mask=kept_G < 0))
    id_G = pc.coalesce(kept_id_G, pa.array(free_G, pa.string())).to_pylist()
    taken = {*id_H.to_pylist(), *id_G}
    for group in [group for group, group_id in enumerate(id_G) if group_id is None]:
        candidates = (f"{first_G[group]}~{number}" for number in count(2))
        id_G[group] = next(candidate for candidate in candidates if candidate not in taken)
        taken.add(id_G[group])
    return pa.array(id_G, pa.string())


def list_events(matching: Matching) -> pa.Table:
    """What happened to which group (`EVENTS`), in the order of group and event; nothing of a group that is as it was.

    For every id the items of created, split, merged and grown, less those of shrunk and dissolved, are
    items_after - items_before.
    """
    m = matching
    arrives = np.flatnonzero(m.after_F >= 0)
    before, after = m.before_F[arrives], m.after_F[arrives]
    is_fresh = before < 0
    is_moved = ~is_fresh & (before != m.kept_G[after])
    is_origin = is_moved & (m.kept_G[after] < 0) & (before == m.best_G[after])
    is_first = is_fresh & (m.best_G[after] < 0)

    keeper_H = np.full(len(m.id_H), -2)
    keeper_H[m.kept_G[m.kept_G >= 0]] = np.flatnonzero(m.kept_G >= 0)
    leaves = np.flatnonzero(m.before_F >= 0)
    leaves = leaves[m.after_F[leaves] != keeper_H[m.before_F[leaves]]]
    is_kept = keeper_H[m.before_F[leaves]] >= 0
    events = [
        _list_arrivals(m, "created", arrives[is_first]),
        _list_arrivals(m, "split", arrives[is_origin]),
        _list_arrivals(m, "merged", arrives[is_moved & ~is_origin]),
        _list_arrivals(m, "grown", arrives[is_fresh & ~is_first]),
        _list_departures(m, "shrunk", leaves[is_kept], keeper_H),
        _list_departures(m, "dissolved", leaves[~is_kept], keeper_H),
    ]
    return pa.concat_tables(events).sort_by([("group_id", "ascending"), ("event", "ascending")])


def _list_arrivals(m: Matching, event: str, flows: Codes) -> pa.Table:
    """One event for each group that the flows reach, with the previous groups that they come from."""
    flows = flows[np.lexsort((m.before_F[flows], m.after_F[flows]))]
    group_E, first_E = np.unique(m.after_F[flows], return_index=True)
    sources = flows[m.before_F[flows] >= 0]
    offset_E1 = np.searchsorted(m.after_F[sources], np.append(group_E, len(m.id_G)))
    from_ids = pa.ListArray.from_arrays(pa.array(offset_E1, pa.int32()), m.id_H.take(pa.array(m.before_F[sources])))
    # What is -1, and new, finds the appended 0.
    before_E = np.append(m.size_H, 0)[m.kept_G[group_E]]
    items_E = np.add.reduceat(m.items_F[flows], first_E) if len(flows) else first_E
    return _to_table(event, m.id_G.take(pa.array(group_E)), (items_E, before_E, m.size_G[group_E]), from_ids)


def _list_departures(m: Matching, event: str, flows: Codes, keeper_H: Codes) -> pa.Table:
    """One event for each previous group that the flows leave."""
    group_E = np.unique(m.before_F[flows])
    items_E = _sum_by(m.before_F[flows], m.items_F[flows], len(m.id_H))[group_E]
    keeper_E = keeper_H[group_E]
    after_E = np.append(m.size_G, 0)[keeper_E.clip(-1)]
    from_ids = pa.array([[]] * len(group_E), pa.list_(pa.string()))
    return _to_table(event, m.id_H.take(pa.array(group_E)), (items_E, m.size_H[group_E], after_E), from_ids)


def _to_table(
    event: str, group_ids: pa.StringArray, items: tuple[Codes, Codes, Codes], from_ids: pa.ListArray
) -> pa.Table:
    return pa.table([group_ids, pa.repeat(event, len(group_ids)), *items, from_ids], schema=EVENTS)
