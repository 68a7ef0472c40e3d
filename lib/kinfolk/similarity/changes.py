"""What changed since last night, and what is to be compared because of it.

A representative is known by its id and a digest of what is compared. Those of tonight that stood last night with the
same digest are settled, the others fresh: new ones, altered ones, copies that have come to represent. Those of last
night that are not settled are gone.

Shape suffixes: N items, K neighbours, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.settings import JoinSettings
from kinfolk.similarity.effort import Share
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.items import digest_items, plan_items
from kinfolk.similarity.recall import CERTAIN
from kinfolk.similarity.task import (
    NEIGHBORS,
    PAIRS,
    Prepared,
    Report,
    Side,
    tell_neighbors,
    tell_pairs,
    write_sides,
)
from kinfolk.tasks.files import write_rows
from kinfolk.tasks.reports import Clock

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Change:
    """Of one side: which of tonight's representatives are fresh, and the ids of last night's that are gone."""

    is_fresh_N: NDArray[np.bool_]
    gone_ids: pa.StringArray


@dataclass(frozen=True)
class Night:
    """What tasks have to do: `due` rows of the left side are compared with all of the base, the others with its fresh
    items.

    `floor_N` is how near the last neighbour of each row is, -inf where it has fewer than wanted. In a join with itself
    both changes are the same.
    """

    prepared: Prepared
    left: Change
    base: Change
    is_due_N: NDArray[np.bool_]
    floor_N: NDArray[np.float64]

    @property
    def is_self_join(self) -> bool:
        """Whether both sides are the same items."""
        return self.prepared.right is None


def find_change(side: Side, digests: pa.Table, settings: JoinSettings) -> Change:
    """Compare tonight's representatives of a side with last night's (item_id, digest)."""
    old_ids = pa.chunked_array(digests["item_id"]).combine_chunks()
    now = digest_items(side.items, settings)
    place_N = pc.index_in(now["item_id"].combine_chunks(), old_ids)
    old_digest_N = digests["digest"].combine_chunks().take(place_N)
    is_same_N = pc.equal(old_digest_N, now["digest"].combine_chunks())
    is_settled_N = pc.fill_null(is_same_N, fill_value=False)
    is_gone = np.ones(len(old_ids), bool)
    is_gone[place_N.filter(is_settled_N).to_numpy()] = False
    return Change(~is_settled_N.to_numpy(zero_copy_only=False), old_ids.filter(pa.array(is_gone)))


def join_night(
    night: Night, settings: JoinSettings, share: Share, *, scratch: str, clock: Clock, threads: int
) -> Report:
    """Take a share of what a night has to compare, and write what it finds.

    Its files are the new pairs, the neighbours of due rows, and as `offers` the fresh items that compete for a place
    among the neighbours of other rows.
    """
    prepared = night.prepared
    left_ids, base_ids = prepared.left.items.ids, prepared.base.items.ids
    due_pairs, neighbors = compare_due(night, share, threads=threads)
    other_pairs, offers = compare_others(night, settings, share, threads=threads)
    pairs = Pairs.joined([due_pairs, other_pairs])
    clock.stop("join")
    files = {
        kind: [write_rows(scratch, schema, rows)]
        for kind, schema, rows in (
            ("pairs", PAIRS, tell_pairs(pairs, left_ids, base_ids)),
            ("neighbors", NEIGHBORS, tell_neighbors(neighbors, left_ids, base_ids)),
            ("offers", NEIGHBORS, tell_neighbors(offers, left_ids, base_ids)),
        )
    }
    if share[0] == 0:
        files |= write_sides(prepared, settings, scratch)
    clock.stop("write")
    return prepared.report(files, (pairs, neighbors), recall=CERTAIN, threads=threads, clock=clock)


def compare_due(night: Night, share: Share, *, threads: int) -> tuple[Pairs, Neighbors]:
    """The new pairs, and all neighbours, of a share of the due rows."""
    rows = np.flatnonzero(night.is_due_N)[share[0] :: share[1]]
    truth = night.prepared.join.probe(rows, threads=threads)
    left_P, right_P = truth.pairs.left_P, truth.pairs.right_P
    is_left_fresh_P, is_right_fresh_P = night.left.is_fresh_N[left_P], night.base.is_fresh_N[right_P]
    if night.is_self_join:
        # A pair of two fresh items comes from both of them.
        is_new_P = is_left_fresh_P & (~is_right_fresh_P | (left_P < right_P))
    else:
        is_new_P = is_left_fresh_P | is_right_fresh_P
    left_P, right_P, similarity_P = left_P[is_new_P], right_P[is_new_P], truth.pairs.similarity_P[is_new_P]
    if night.is_self_join:
        left_P, right_P = np.minimum(left_P, right_P), np.maximum(left_P, right_P)
    return Pairs(left_P, right_P, similarity_P), truth.neighbors


def compare_others(night: Night, settings: JoinSettings, share: Share, *, threads: int) -> tuple[Pairs, Neighbors]:
    """Compare a share of the rows that are not due with the fresh items of the base.

    Gives the pairs, but in a join with itself, where they come from the due rows; and of each row the fresh items that
    are as near as its last neighbour.
    """
    rows = np.flatnonzero(~night.is_due_N)[share[0] :: share[1]]
    fresh = np.flatnonzero(night.base.is_fresh_N)
    threshold = None if night.is_self_join else settings.threshold
    if not len(rows) or not len(fresh) or (threshold is None and not settings.neighbors):
        return Pairs.none(), Neighbors.none()
    wanted = exact_settings(settings).model_copy(update={"threshold": threshold})
    some, items = night.prepared.left.items.take(rows), night.prepared.base.items.take(fresh)
    join = plan_items(some, items, wanted, threads=threads, is_shared=False, is_forecast_needed=False)
    pairs, near = join.find(threads=threads)
    pairs = Pairs(rows[pairs.left_P], fresh[pairs.right_P], pairs.similarity_P)
    row_N = rows[near.row_N]
    is_near_NK = (near.code_NK >= 0) & (near.similarity_NK >= night.floor_N[row_N, None])
    is_offered_N = is_near_NK.any(axis=1)
    code_NK = np.where(is_near_NK, fresh[near.code_NK], -1)
    return pairs, Neighbors(row_N[is_offered_N], code_NK[is_offered_N], near.similarity_NK[is_offered_N])


def exact_settings(settings: JoinSettings) -> JoinSettings:
    """The same with a plan that misses nothing."""
    return settings.model_copy(update={"plan": "exact", "recall": 1.0})
