"""What a basket or a customer is likely to buy next: the consequents of the rules whose antecedents they hold.

A rule lies with the one of its antecedent's items that begins the fewest rules, so that of all rules only those are
looked at whose rarest item is there.

Shape suffixes: Q rules, I items of rules, J items of all antecedents or consequents, B subjects, E their items,
K recommendations of a subject.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.association.baskets import Codes, Integers, whole
from kinfolk.association.taxonomy import Taxonomy
from kinfolk.kernels.compiling import Whole, kernel

RECOMMENDATIONS = pa.schema(
    [
        ("subject_id", pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("item_name", pa.string()),
        ("score", pa.float64()),
        ("antecedent_id", pa.string()),
        ("antecedent_names", pa.list_(pa.string())),
    ]
)


class _Sides(NamedTuple):
    """Rules as arrays, the best first: a rule's antecedent and consequent, and the rules that lie with each item."""

    antecedent_Q: Integers
    antecedent_J: Codes
    consequent_Q: Integers
    consequent_J: Codes
    first_I: Integers
    rule_Q: Integers


class _Notes(NamedTuple):
    """What is known of the items: which subject held each last, and to which it was offered last, by which best rule.

    `offered_I` lists the items that are offered to the subject that it is about.
    """

    holder_I: Integers
    asked_I: Integers
    best_I: Codes
    offered_I: Codes


class RuleIndex:
    """Rules, ready to be held against baskets.

    They come with antecedent and consequent (lists of item ids), their names, antecedent_id and score; rules that score
    higher win, ties by the ids of both sides. With a taxonomy antecedents may hold categories, which whoever holds one
    of their items holds too; consequents may not.
    """

    def __init__(self, rules: pa.Table, taxonomy: Taxonomy | None = None) -> None:
        self._taxonomy = taxonomy
        order = [("score", "descending"), ("antecedent_id", "ascending"), ("consequent_id", "ascending")]
        rules = rules.sort_by(order).combine_chunks()
        self._rules = rules.select(["score", "antecedent_id", "antecedent_names"])
        sides = [_flatten(rules[name]) for name in ("antecedent", "consequent")]
        self.item_ids = pa.chunked_array([values for _, values in sides], pa.string()).unique().sort()
        self._item_names = self._name(sides[1][1], _flatten(rules["consequent_names"])[1])
        (antecedent_Q, before), (consequent_Q, after) = sides
        codes = [pc.index_in(values, self.item_ids).to_numpy().astype(np.int32) for values in (before, after)]
        trigger_Q = _choose_triggers(antecedent_Q, codes[0], len(self.item_ids))
        first_I = np.zeros(len(self.item_ids) + 1, np.int64)
        np.cumsum(np.bincount(trigger_Q, minlength=len(self.item_ids)), out=first_I[1:])
        rule_Q = np.argsort(trigger_Q, kind="stable")
        self._sides = _Sides(antecedent_Q, codes[0], consequent_Q, codes[1], first_I, rule_Q)

    def recommend(self, subjects: pa.Table, most: int) -> pa.Table:
        """At most so many items for each subject (subject_id, items), as rows of `RECOMMENDATIONS`, best first.

        What a subject holds is never recommended. An item has the score of the best rule that leads to it; ties are
        broken as those of rules.
        """
        subjects = subjects.combine_chunks()
        lists = subjects["items"]
        start_B, held = _flatten(lists if self._taxonomy is None else self._taxonomy.extend_lists(lists))
        code_E = pc.index_in(held, self.item_ids).fill_null(-1).to_numpy().astype(np.int32)
        item_BK, rule_BK = np.full((2, subjects.num_rows, most), -1, np.int32)
        items = len(self.item_ids)
        notes = _Notes(*np.full((2, items), -1), *np.empty((2, items), np.int32))
        _recommend(self._sides, start_B, code_E, notes, item_BK, rule_BK)
        subject_N, place_N = np.nonzero(item_BK >= 0)
        chosen, rules = pa.array(item_BK[subject_N, place_N]), pa.array(rule_BK[subject_N, place_N])
        because = self._rules.take(rules)
        columns = [
            subjects["subject_id"].take(pa.array(subject_N)),
            pa.array((place_N + 1).astype(np.int32)),
            self.item_ids.take(chosen),
            self._item_names.take(chosen),
            because["score"],
            because["antecedent_id"],
            because["antecedent_names"],
        ]
        return pa.table(columns, schema=RECOMMENDATIONS)

    def _name(self, ids: pa.Array, names: pa.Array) -> pa.Array:
        """The name of each item that is a consequent."""
        return names.take(pc.index_in(self.item_ids, ids))


def _flatten(lists: pa.ChunkedArray) -> tuple[Integers, pa.Array]:
    """Where each list begins and the last ends, and the values of all."""
    array = whole(lists)
    lengths = array.value_lengths().fill_null(0).to_numpy()
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), array.flatten()


def _choose_triggers(start_Q: Integers, item_J: Codes, items: int) -> NDArray[np.int64]:
    """For each rule the item of its antecedent that is in the fewest antecedents."""
    count_I = np.bincount(item_J, minlength=items)
    rule_J = np.repeat(np.arange(len(start_Q) - 1), np.diff(start_Q))
    order = np.lexsort((item_J, count_I[item_J], rule_J))
    return np.asarray(item_J[order[start_Q[:-1]]], np.int64)


@kernel
def _recommend(sides: _Sides, start_B: Integers, code_E: Codes, notes: _Notes, item_BK: Codes, rule_BK: Codes) -> None:
    """Write the best items of each subject and the rules that lead to them."""
    for subject in range(len(start_B) - 1):
        for e in range(start_B[subject], start_B[subject + 1]):
            if code_E[e] >= 0:
                notes.holder_I[code_E[e]] = subject
        found: Whole = 0
        for e in range(start_B[subject], start_B[subject + 1]):
            if code_E[e] >= 0:
                found = _offer(sides, notes, subject, code_E[e], found)
        _keep_best(notes, found, item_BK[subject], rule_BK[subject])


@kernel
def _offer(sides: _Sides, notes: _Notes, subject: Whole, trigger: Whole, found: Whole) -> Whole:
    """Follow the rules that lie with an item; returns how many items are offered so far."""
    for place in range(sides.first_I[trigger], sides.first_I[trigger + 1]):
        rule = sides.rule_Q[place]
        j, stop = sides.antecedent_Q[rule], sides.antecedent_Q[rule + 1]
        while j < stop and notes.holder_I[sides.antecedent_J[j]] == subject:
            j += 1
        if j < stop:
            continue
        for j in range(sides.consequent_Q[rule], sides.consequent_Q[rule + 1]):
            item = sides.consequent_J[j]
            if notes.holder_I[item] == subject:
                continue
            if notes.asked_I[item] != subject:
                notes.asked_I[item], notes.best_I[item], notes.offered_I[found] = subject, rule, item
                found += 1
            elif rule < notes.best_I[item]:
                notes.best_I[item] = rule
    return found


@kernel
def _keep_best(notes: _Notes, found: Whole, item_K: Codes, rule_K: Codes) -> None:
    """Put the best of the offered items in order.

    Rules are in the order of their scores, and items in that of their ids.
    """
    kept = 0
    for place in range(found):
        item = notes.offered_I[place]
        rule = notes.best_I[item]
        at = min(kept, len(item_K))
        while at > 0 and (rule_K[at - 1] > rule or (rule_K[at - 1] == rule and item_K[at - 1] > item)):
            if at < len(item_K):
                item_K[at], rule_K[at] = item_K[at - 1], rule_K[at - 1]
            at -= 1
        if at < len(item_K):
            item_K[at], rule_K[at] = item, rule
            kept = min(kept + 1, len(item_K))
