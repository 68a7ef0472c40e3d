"""The numbers of the page against slow, obvious counts."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections import Counter
from typing import Any

import pytest
from report_lake import HOSTILE, INTERVALS, SOURCES, SUBJECTS, WHEN, pin, put, put_events

from kinfolk.report.numbers import (
    count_files,
    count_groups,
    read_curves,
    read_durations,
    read_event_counts,
    read_models,
    read_rejections,
)
from kinfolk.report.sections.groups import read_groups
from kinfolk.report.sections.headline import read_headline
from kinfolk.report.sections.neighbors import read_matches, read_neighbors
from kinfolk.report.sections.rejected import read_rejected
from kinfolk.report.sections.rules import read_rules
from kinfolk.report.sections.segments import read_segments
from kinfolk.report.sections.sequences import read_sequences
from kinfolk.report.sections.training import read_training
from kinfolk.report.sections.values import read_values
from kinfolk.settings import Settings
from kinfolk.tables.catalog import (
    ASSOCIATION_RULES,
    CLEAN_EVENTS,
    ITEM_FEATURES,
    ITEM_GROUPS,
    ITEM_NEIGHBORS,
    RAW_EVENTS,
    REJECTED_ROWS,
    SEGMENT_RULES,
)

Row = dict[str, Any]


@pytest.mark.parametrize("seed", range(3))
def test_events_are_counted_as_a_loop_counts_them(lake: str, seed: int) -> None:
    dice = random.Random(seed)
    events = [
        {
            "source": "s", "file": f"f{dice.randrange(3)}", "row": n, "quantity": 1,
            "basket_id": f"b{dice.randrange(20)}", "item_id": f"i{dice.randrange(9)}",
            "event_time": WHEN + dt.timedelta(hours=dice.randrange(1000)) if dice.random() < 0.8 else None,
        }
        for n in range(60)
    ]  # fmt: skip
    put(lake, CLEAN_EVENTS, events)
    put(lake, RAW_EVENTS, ({k: e[k] for k in ("source", "file", "row")} for e in events))
    counts = read_event_counts(pin(lake))
    times = [e["event_time"] for e in events if e["event_time"]]
    assert counts is not None
    assert (counts.baskets, counts.items) == (
        len({e["basket_id"] for e in events}),
        len({e["item_id"] for e in events}),
    )
    assert (counts.first, counts.last) == (min(times), max(times))
    assert count_files(pin(lake), RAW_EVENTS) == len({e["file"] for e in events})


@pytest.mark.parametrize("seed", range(3))
def test_rejections_are_counted_by_table_and_reason(lake: str, seed: int) -> None:
    dice = random.Random(seed)
    put(
        lake,
        CLEAN_EVENTS,
        ({"source": "s", "file": "f", "row": n, "basket_id": "b", "item_id": "i", "quantity": 1} for n in range(40)),
    )
    rows = [
        {"job": "clean", "target_table": dice.choice(["clean_events", "clean_items"]), "row_key": str(n),
         "reason": dice.choice(["duplicate", "cancelled", "no_price"]), "detail": dice.choice([None, "-1", "0"])}
        for n in range(30)
    ]  # fmt: skip
    put(lake, REJECTED_ROWS, rows)
    found = read_rejections(pin(lake))
    slow = Counter((row["target_table"], row["reason"]) for row in rows)
    assert {(r.target_table, r.reason): r.rows for r in found} == slow
    rejected = Counter(row["target_table"] for row in rows)
    for rejection in found:
        entered = 40 if rejection.target_table == "clean_events" else 0
        assert rejection.rows_read == entered + rejected[rejection.target_table]
        assert rejection.share == rejection.rows / rejection.rows_read
        assert rejection.example in {
            row["detail"]
            for row in rows
            if (row["target_table"], row["reason"]) == (rejection.target_table, rejection.reason)
        }


def test_bars_of_a_table_are_ordered_and_the_longest_is_full(full_lake: str) -> None:
    groups = read_rejected(pin(full_lake), Settings())
    assert groups is not None
    events = next(group for group in groups if group.table == "clean_events")
    assert (events.rows, events.rows_read, events.share) == (1, 7, 1 / 7)
    assert [bar.length for bar in events.bars] == [100.0]
    assert events.bars[0].rejection.example == HOSTILE


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_the_largest_ones_with_their_first_members(lake: str, seed: int) -> None:
    dice = random.Random(seed)
    members: dict[str, list[str]] = {}
    for number in range(120):
        members.setdefault(f"g{dice.randrange(12):02}", []).append(f"item{number:03}")
    rows = [{"item_id": i, "group_id": g, "group_size": len(items)} for g, items in members.items() for i in items]
    put(lake, ITEM_GROUPS, rows)
    groups = read_groups(pin(lake), Settings.model_validate({"report": {"groups": 5}}))
    assert groups is not None
    slow = sorted(members.items(), key=lambda group: (-len(group[1]), group[0]))[:5]
    assert [g.size for g in groups.largest] == [len(items) for _, items in slow]
    assert [[c.item_id for c in g.cards] for g in groups.largest] == [sorted(items)[:24] for _, items in slow]
    assert [g.more for g in groups.largest] == [max(len(items) - 24, 0) for _, items in slow]
    assert count_groups(pin(lake)) == len(members)
    assert sum(groups for _, groups in groups.sizes) == len(members)


def test_neighbors_show_held_out_items_first_and_say_who_shows_the_same(full_lake: str) -> None:
    shown = read_neighbors(pin(full_lake), Settings())
    assert shown is not None
    assert [example.is_held_out for example in shown.examples] == [True, False, False, False]
    assert {example.card.subject_id for example in shown.examples} == set(SUBJECTS)
    moon = shown.examples[0]
    assert moon.card.subject_id == "moon"
    assert [(n.rank, n.similarity, n.is_same_subject) for n in moon.neighbors] == [(1, 0.95, False), (2, 0.5, True)]
    assert all(e.neighbors[0].is_same_subject and not e.neighbors[1].is_same_subject for e in shown.examples[1:])
    assert {(items, share) for _, items, share in shown.first_hits} == {(2, 0.0), (6, 1.0)}


def test_examples_are_chosen_by_a_hash_held_out_ones_first(lake: str) -> None:
    items = {f"item{n}": n % 3 == 0 for n in range(30)}
    plain = {"source": "s", "split": "train"}
    features = (
        plain | {"item_id": i, "subject_id": i, "split": "held_out" if held else "train"} for i, held in items.items()
    )
    put(lake, ITEM_FEATURES, features)
    put(lake, ITEM_NEIGHBORS, ({"item_id": i, "rank": 1, "neighbor_id": "item0", "similarity": 0.5} for i in items))
    shown = read_neighbors(pin(lake), Settings.model_validate({"report": {"neighbor_examples": 15}}))
    assert shown is not None
    slow = sorted(items, key=lambda i: (not items[i], hashlib.md5(i.encode()).hexdigest()))[:15]
    assert [example.card.item_id for example in shown.examples] == slow


def test_matches_show_the_text_that_was_compared_and_who_shows_the_same(full_lake: str) -> None:
    for modality, is_shown in (("text", False), ("image", True)):
        sides = {"left": {"modality": modality}, "right": {"modality": "image", "sources": ["right"]}}
        shown = read_matches(pin(full_lake), Settings.model_validate({"matching": sides}))
        assert shown is not None
        assert [(e.card.picture is not None, [n.card.item_id for n in e.neighbors]) for e in shown.examples] == [
            (is_shown, [e.card.item_id.replace("left", "right")]) for e in shown.examples
        ]
        assert all(near.card.picture and near.is_same_subject for e in shown.examples for near in e.neighbors)
        assert shown.first_hits == (("held-out items", 1, 1.0), ("items the encoder was trained on", 3, 1.0))


def test_neighbors_of_a_subject_are_shown_for_its_plain_item(lake: str) -> None:
    features = [
        {
            "item_id": f"{source}/{variant}",
            "subject_id": "hand",
            "variant": variant or None,
            "source": source,
            "split": "train",
        }
        for source in SOURCES
        for variant in ("", "dark", "light")
    ]
    put(lake, ITEM_FEATURES, features)
    put(
        lake,
        ITEM_NEIGHBORS,
        ({"item_id": f["item_id"], "rank": 1, "neighbor_id": "x", "similarity": 0.1} for f in features),
    )
    shown = read_neighbors(pin(lake), Settings())
    assert shown is not None
    assert [example.card.item_id.rstrip("/") for example in shown.examples] in ([SOURCES[0]], [SOURCES[1]])


def test_only_the_last_training_run_shows(full_lake: str) -> None:
    curves = read_curves(pin(full_lake))
    assert curves is not None
    assert curves.run_id == "new"
    assert curves.final("trained", "image_to_image.recall_at_1") == 0.75
    assert [epoch for epoch, _ in curves.values["trained", "loss"]] == [1, 2, 3]


def test_training_sets_the_trained_encoder_beside_its_baselines(full_lake: str) -> None:
    training = read_training(pin(full_lake), Settings())
    assert training is not None
    assert [chart.title for chart in training.curves] == ["Loss", "picture → picture, recall@1"]
    pictures, texts = training.tasks
    assert pictures.encoders == ("trained", "untrained", "raw_pixels", "chance")
    assert pictures.measures == (("recall@1", (0.75, 0.25, 0.5, 0.125)),)
    assert texts.measures == (("MRR", (0.33, 0.02)),)


def test_headline_counts_everything(full_lake: str) -> None:
    headline = read_headline(pin(full_lake))
    assert {figure.name: figure.value for figure in headline.figures} == {
        "items": "8", "similar pairs": "3", "groups": "3", "events": "6", "baskets": "3", "rules": "3",
    }  # fmt: skip
    assert [(hit.kind, hit.share) for hit in headline.hits] == [
        ("trained", 0.75),
        ("raw_pixels", 0.5),
        ("untrained", 0.25),
    ]


def test_durations_are_those_of_the_last_run_that_succeeded(full_lake: str) -> None:
    assert read_durations(pin(full_lake)) == {"clean": 22.0}


def test_models_say_what_they_were_made_from(full_lake: str) -> None:
    assert [(m.name, m.version, m.source_version, m.embeddings) for m in read_models(pin(full_lake))] == [
        ("kinfolk-encoder", "3", 0, 8)
    ]


def test_rules_come_strongest_first(lake: str) -> None:
    dice = random.Random(0)
    rules = [
        {"antecedent_id": f'["a{n}"]', "consequent_id": '["b"]', "basket_count": n, "support": 0.1, "confidence": 0.5,
         "antecedent_count": 2 * n, "consequent_count": 50, "baskets": 400, **INTERVALS,
         "lift": dice.uniform(1, 9), "leverage": 0.0, "conviction": None, "antecedent": [f"a{n}"], "consequent": ["b"],
         "antecedent_names": [f"A{n}"], "consequent_names": ["B"]}
        for n in range(40)
    ]  # fmt: skip
    put(lake, ASSOCIATION_RULES, rules)
    shown = read_rules(pin(lake), Settings.model_validate({"report": {"rules": 7}}))
    assert shown is not None
    assert [rule.lift for rule in shown.rules] == sorted((r["lift"] for r in rules), reverse=True)[:7]
    assert shown.total == 40
    assert len(shown.scatter.marks) == 40
    assert "A3 → B: support 10.0%, confidence 50.0%, lift" in " ".join(mark.title for mark in shown.scatter.marks)


def test_what_is_bought_later_comes_strongest_first(lake: str) -> None:
    put_events(lake)
    shown = read_sequences(pin(lake), Settings())
    assert shown is not None
    # A single purchase is no step.
    assert (shown.total, [sequence.lift for sequence in shown.sequences]) == (2, [3.0, 1.5])
    assert shown.sequences[0].before == (("JAM",), ("TEA <b>&</b> MORE",))
    assert shown.sequences[1].after == (HOSTILE, "JAM")
    assert shown.sequences[0].median_days == 6.5
    assert read_sequences(pin(lake), Settings.model_validate({"report": {"sequences": 0}})) is None


def test_what_brings_in_the_most_has_the_longest_bar(lake: str) -> None:
    put_events(lake)
    shown = read_values(pin(lake), Settings.model_validate({"report": {"values": 1}}))
    assert shown is not None
    assert (shown.total, [value.names for value in shown.values]) == (2, [("TEA <b>&</b> MORE",)])
    both = read_values(pin(lake), Settings())
    assert both is not None
    assert [round(value.length, 2) for value in both.values] == [100.0, 40.16]


def test_segments_tell_their_strongest_rule(lake: str) -> None:
    rules = [("north", 400, 2.0, "a"), ("north", 400, 5.0, "b"), ("south", 900, 3.0, "c"), ("west", 100, 9.0, "d")]
    put(lake, SEGMENT_RULES, [
        {"segment": segment, "antecedent_id": f'["{item}"]', "consequent_id": '["z"]', "basket_count": 9,
         "support": 0.1, "confidence": 0.5, "antecedent_count": 18, "consequent_count": 50, "baskets": baskets,
         **INTERVALS, "lift": lift, "leverage": 0.0, "conviction": None, "antecedent": [item], "consequent": ["z"],
         "antecedent_names": [item.upper()], "consequent_names": ["Z"]}
        for segment, baskets, lift, item in rules
    ])  # fmt: skip
    shown = read_segments(pin(lake), Settings.model_validate({"association": {"segment_by": "country"}}))
    assert shown is not None
    assert [(one.name, one.rules, one.antecedent_names) for one in shown.segments] == [
        ("south", 1, ("C",)),
        ("north", 2, ("B",)),
        ("west", 1, ("D",)),
    ]
    assert (shown.total, shown.column) == (3, "country")


def test_a_pinned_version_stays_what_it_was(lake: str) -> None:
    put(lake, ITEM_GROUPS, [{"item_id": f"i{n}", "group_id": f"i{n // 2}", "group_size": 2} for n in range(8)])
    before = pin(lake)
    put(lake, ITEM_GROUPS, [])
    assert (before.rows(ITEM_GROUPS), count_groups(before), count_groups(pin(lake))) == (8, 4, 0)
