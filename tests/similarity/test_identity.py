"""Stable ids from night to night, and events that explain every change."""

from __future__ import annotations

from collections import Counter, defaultdict

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.similarity.groups.identity import list_events, match_groups

Groups = dict[str, str]
Event = tuple[str, str, int, int, int, list[str]]
FLOWS = {"first_id": pa.string(), "previous_id": pa.string(), "items": pa.int64(), "free_id": pa.string()}


def follow(tonight: list[str], previous: Groups) -> tuple[Groups, list[Event]]:
    """Ids and events of tonight's groups, each given as its members' letters."""
    first_of = {item: min(members) for members in tonight for item in members}
    flows: dict[tuple[str | None, str | None], list[str]] = defaultdict(list)
    for item in {*first_of, *previous}:
        flows[first_of.get(item), previous.get(item)].append(item)
    rows = [
        (first, before, len(items), min((i for i in items if i not in previous.values()), default=None))
        for (first, before), items in flows.items()
    ]
    columns = zip(*rows, strict=True) if rows else [[]] * len(FLOWS)
    matching = match_groups(
        pa.table({n: pa.chunked_array([list(v)], t) for (n, t), v in zip(FLOWS.items(), columns, strict=True)})
    )
    id_of = dict(zip(matching.first_G.to_pylist(), matching.id_G.to_pylist(), strict=True))
    events = [tuple(row.values()) for row in list_events(matching).to_pylist()]
    return {item: id_of[first] for item, first in first_of.items()}, events


def grouped(**members: str) -> Groups:
    return {item: group for group, items in members.items() for item in items}


@pytest.mark.parametrize(
    ("tonight", "previous", "ids", "events"),
    [
        (["abc"], grouped(), ["a"], [("a", "created", 3, 0, 3, [])]),
        (["abc", "de"], grouped(a="abc", d="de"), ["a", "d"], []),
        (["abcde"], grouped(a="ab", c="cde"), ["c"],
         [("a", "dissolved", 2, 2, 0, []), ("c", "merged", 2, 3, 5, ["a"])]),
        (["ab", "cde"], grouped(a="abcde"), ["b", "a"],
         [("a", "shrunk", 2, 5, 3, []), ("b", "split", 2, 0, 2, ["a"])]),
        # A merge and a split at once: b and c go over from a to x, while d and e come out of it.
        (["agh", "bcxyz", "de"], grouped(a="abcdegh", x="xyz"), ["a", "x", "d"],
         [("a", "shrunk", 4, 7, 3, []), ("d", "split", 2, 0, 2, ["a"]), ("x", "merged", 2, 3, 5, ["a"])]),
        (["ab"], grouped(a="abc"), ["a"], [("a", "shrunk", 1, 3, 2, [])]),
        (["abcz"], grouped(a="abc"), ["a"], [("a", "grown", 1, 3, 4, [])]),
        (["abz"], grouped(a="abc"), ["a"], [("a", "grown", 1, 3, 3, []), ("a", "shrunk", 1, 3, 3, [])]),
        ([], grouped(a="abc"), [], [("a", "dissolved", 3, 3, 0, [])]),
        # The item that named the group has left it, and is the first of a new one.
        (["bcd", "axy"], grouped(a="abcd"), ["a", "x"],
         [("a", "shrunk", 1, 4, 3, []), ("x", "grown", 2, 0, 3, []), ("x", "split", 1, 0, 3, ["a"])]),
        # Ties: from as many members, the larger previous group, then the smaller id.
        (["ax"], grouped(a="ab", x="xyz"), ["x"],
         [("a", "dissolved", 2, 2, 0, []), ("x", "merged", 1, 3, 2, ["a"]), ("x", "shrunk", 2, 3, 2, [])]),
        (["bcde"], grouped(b="bc", d="de"), ["b"],
         [("b", "merged", 2, 2, 4, ["d"]), ("d", "dissolved", 2, 2, 0, [])]),
        # Ties of those that would keep an id: the larger group, then the one whose first member is smaller.
        (["ab", "cdz"], grouped(a="abcd"), ["b", "a"],
         [("a", "grown", 1, 4, 3, []), ("a", "shrunk", 2, 4, 3, []), ("b", "split", 2, 0, 2, ["a"])]),
        (["ab", "cd"], grouped(a="abcd"), ["a", "c"],
         [("a", "shrunk", 2, 4, 2, []), ("c", "split", 2, 0, 2, ["a"])]),
        # All members of the new group name previous groups that go on.
        (["ac", "bxy", "dz"], grouped(a="abxy", c="cdz"), ["a~2", "a", "c"],
         [("a", "shrunk", 1, 4, 3, []), ("a~2", "merged", 1, 0, 2, ["c"]), ("a~2", "split", 1, 0, 2, ["a"]),
          ("c", "shrunk", 1, 3, 2, [])]),
    ],
)  # fmt: skip
def test_ids_and_events(tonight: list[str], previous: Groups, ids: list[str], events: list[Event]) -> None:
    named, found = follow(tonight, previous)
    assert named == {item: group for group, items in zip(ids, tonight, strict=True) for item in items}
    assert found == events


NIGHT = st.dictionaries(st.sampled_from("abcdefghijklmnop"), st.integers(0, 4))


def split_night(night: dict[str, int]) -> list[str]:
    groups: dict[int, str] = defaultdict(str)
    for item, group in night.items():
        groups[group] += item
    return [members for members in groups.values() if len(members) > 1]


@settings(max_examples=60)
@given(st.lists(NIGHT, min_size=2, max_size=5))
def test_events_explain_every_change(nights: list[dict[str, int]]) -> None:
    previous: Groups = {}
    for night in nights:
        tonight = split_night(night)
        named, events = follow(tonight, previous)
        assert Counter(Counter(named.values()).values()) == Counter(map(len, tonight)), "an id for each group"
        assert len({event[:2] for event in events}) == len(events), "group and event are a key"
        check_kept_ids(named, previous)
        check_sizes(named, previous, events)
        check_sources(named, previous, events)
        assert follow(tonight, named)[1] == [], "the same night again changes nothing"
        assert follow(tonight, named)[0] == named
        previous = named


def check_kept_ids(named: Groups, previous: Groups) -> None:
    """Of the groups that have most of their members from a previous one, that with most of its members has its id."""
    sizes, sizes_before = Counter(named.values()), Counter(previous.values())
    shared = Counter((named[item], previous[item]) for item in named if item in previous)
    wanted: dict[str, list[str]] = defaultdict(list)
    for group in sizes:
        before = [p for g, p in shared if g == group]
        if before:
            wanted[min(before, key=lambda p: (-shared[group, p], -sizes_before[p], p))].append(group)
    first = {group: min(item for item in named if named[item] == group) for group in sizes}
    for p, groups in wanted.items():
        assert min(groups, key=lambda g: (-shared[g, p], -sizes[g], first[g])) == p
    assert {g for g in sizes if g in sizes_before} == set(wanted)


def check_sizes(named: Groups, previous: Groups, events: list[Event]) -> None:
    """The events of an id add up to the change of its size, and an id without any has the members it had."""
    sign = {"created": 1, "split": 1, "merged": 1, "grown": 1, "shrunk": -1, "dissolved": -1}
    sizes, sizes_before = Counter(named.values()), Counter(previous.values())
    change: Counter[str] = Counter()
    for group, event, items, before, after, _ in events:
        assert items > 0
        assert (before, after) == (sizes_before[group], sizes[group])
        change[group] += sign[event] * items
    for group in {*sizes, *sizes_before}:
        assert sizes[group] - sizes_before[group] == change[group]
        if group not in {event[0] for event in events}:
            assert {i for i in named if named[i] == group} == {i for i in previous if previous[i] == group}


def check_sources(named: Groups, previous: Groups, events: list[Event]) -> None:
    """Each item that changed from one group to another is in an event of that one which names the other."""
    told = {(group, source) for group, _, _, _, _, sources in events for source in sources}
    moved = {(named[i], previous[i]) for i in named if i in previous and named[i] != previous[i]}
    assert told == moved
