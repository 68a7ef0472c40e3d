"""A small lake with every table that the report shows, and names that would break a careless page."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake
from PIL import Image

from kinfolk.report.pinned import PinnedTables
from kinfolk.tables.catalog import (
    ASSOCIATION_RULES,
    CATALOG,
    CLEAN_EVENTS,
    CLEAN_ITEMS,
    FREQUENT_ITEMSETS,
    FREQUENT_SEQUENCES,
    ITEM_EMBEDDINGS,
    ITEM_FEATURES,
    ITEM_GROUPS,
    ITEM_MATCHES,
    ITEM_NEIGHBORS,
    JOB_RUNS,
    RAW_EVENTS,
    RAW_ITEMS,
    REJECTED_ROWS,
    SEGMENT_RULES,
    SIMILAR_PAIRS,
    TRAINING_METRICS,
    VALUABLE_ITEMSETS,
)
from kinfolk.tables.contract import Table
from kinfolk.tables.lake import Lake

WHEN = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
HOSTILE = """<script>alert("name")</script>'"><img src=x onerror=alert(1)>&amp;{{ 7 * 7 }}"""
SUBJECTS = ("cat", "dog", "sun", "moon")
SOURCES = ("left", "right")
# Both 5 long; their product is 8 + 8 + 2 - 2.
EMBEDDINGS = {"left": [2.0, 4.0, 1.0, 2.0], "right": [4.0, 2.0, 2.0, -1.0]}
COSINE = 16 / 25
INTERVALS = {"confidence_low": 0.0, "confidence_high": 1.0, "lift_low": 0.5, "lift_high": 9.5}
"""Columns of rules that the report does not show."""

Row = dict[str, Any]


def put(root: str, table: Table, rows: Iterable[Row]) -> None:
    """Write rows as the whole content of a table; run columns are filled in."""
    full = [{"run_id": "run", "updated_at": WHEN} | row for row in rows]
    content = pa.Table.from_pylist([{n: row.get(n) for n in table.column_names} for row in full], table.arrow_schema())
    partition = list(table.partition_by) or None
    write_deltalake(Lake(root).path(table.name), content, mode="overwrite", partition_by=partition)


def pin(root: str) -> PinnedTables:
    """Every table of a lake at its newest version."""
    lake = Lake(root)
    return PinnedTables(lake, {name: lake.snapshot(t) if lake.exists(t) else None for name, t in CATALOG.items()})


def draw_picture(color: str, size: int = 16, kind: str = "PNG") -> bytes:
    """A picture file of one colour."""
    content = io.BytesIO()
    Image.new("RGB", (size, size), color).save(content, kind)
    return content.getvalue()


def put_items(root: str) -> None:
    """Two drawings of each of four subjects; the moon is held out, and the sun has a hostile name."""
    colors = dict(zip(SUBJECTS, ("orange", "brown", "gold", "silver"), strict=True))
    items = [
        {
            "item_id": f"{source}/{subject}",
            "subject_id": subject,
            "source": source,
            "text": HOSTILE if subject == "sun" else f"{subject}, a drawing",
            "image": draw_picture(colors[subject]),
        }
        for source in SOURCES
        for subject in SUBJECTS
    ]
    put(root, RAW_ITEMS, ({"source": i["source"], "file": i["source"] + ".csv", "row": n} for n, i in enumerate(items)))
    put(root, CLEAN_ITEMS, items)
    split = {"moon": "held_out"}
    put(root, ITEM_FEATURES, (i | {"split": split.get(str(i["subject_id"]), "train"), "image": b""} for i in items))
    model = {"modality": "image", "model_name": "kinfolk-encoder", "model_version": "3", "source_version": 0}
    vectors = [{"item_id": i["item_id"], "embedding": EMBEDDINGS[str(i["source"])]} for i in items]
    put(root, ITEM_EMBEDDINGS, (model | vector for vector in vectors))


def put_similar(root: str) -> None:
    """Each drawing's nearest neighbour is the other drawing of its subject, but the moons', which are suns."""
    neighbors = []
    for source, other in (SOURCES, SOURCES[::-1]):
        for subject in SUBJECTS:
            near, far = ("sun", "moon") if subject == "moon" else (subject, "cat" if subject != "cat" else "dog")
            for rank, (found, similarity) in enumerate([(near, 0.95), (far, 0.5)], start=1):
                pair = {"item_id": f"{source}/{subject}", "neighbor_id": f"{other}/{found}"}
                neighbors.append(pair | {"rank": rank, "similarity": similarity})
    put(root, ITEM_NEIGHBORS, neighbors)
    matches = ({"item_id": f"left/{s}", "rank": 1, "match_id": f"right/{s}", "similarity": 0.75} for s in SUBJECTS)
    put(root, ITEM_MATCHES, matches)
    alike = [s for s in SUBJECTS if s != "moon"]
    put(root, SIMILAR_PAIRS, ({"left_id": f"left/{s}", "right_id": f"right/{s}", "similarity": COSINE} for s in alike))
    groups = ({"item_id": f"{o}/{s}", "group_id": f"left/{s}", "group_size": 2} for s in alike for o in SOURCES)
    put(root, ITEM_GROUPS, groups)


def put_training(root: str) -> None:
    """One run of three epochs, and an older one that must not show."""
    runs = [("old", 0.11, WHEN - dt.timedelta(days=1)), ("new", 0.75, WHEN)]
    rows = []
    for run, recall, when in runs:
        values: dict[tuple[str, str], list[tuple[int, float]]] = {
            ("trained", "loss"): [(1, 4.0), (2, float("nan")), (3, 1.5)],
            ("trained", "image_to_image.recall_at_1"): [(1, 0.2), (3, recall)],
            ("untrained", "image_to_image.recall_at_1"): [(0, 0.25)],
            ("raw_pixels", "image_to_image.recall_at_1"): [(0, 0.5)],
            ("chance", "image_to_image.recall_at_1"): [(0, 0.125)],
            ("trained", "text_to_image.mean_reciprocal_rank"): [(3, 0.33)],
            ("untrained", "text_to_image.mean_reciprocal_rank"): [(0, 0.02)],
        }
        rows += [
            {"training_run_id": run, "encoder": e, "metric": m, "epoch": epoch, "value": v, "updated_at": when}
            for (e, m), points in values.items()
            for epoch, v in points
        ]
    put(root, TRAINING_METRICS, rows)


def put_events(root: str) -> None:
    """Six lines in three baskets, one line turned away, and three rules, one without exception."""
    lines = [("1", "tea"), ("1", "cup"), ("2", "tea"), ("2", "cup"), ("3", "tea"), ("3", "jam")]
    origin = {"source": "shop", "file": "shop.csv", "quantity": 1, "event_time": WHEN}
    events = [origin | {"row": n, "basket_id": b, "item_id": i, "item_name": i} for n, (b, i) in enumerate(lines)]
    put(root, CLEAN_EVENTS, events)
    put(root, RAW_EVENTS, ({"source": "shop", "file": "shop.csv", "row": n} for n in range(7)))
    itemsets = [(["tea"], 3), (["cup"], 2), (["jam"], 1), (["cup", "tea"], 2), (["jam", "tea"], 1)]
    names = {"tea": "TEA <b>&</b> MORE", "cup": HOSTILE, "jam": "JAM"}
    put(root, FREQUENT_ITEMSETS, (_itemset(items, count, names) for items, count in itemsets))
    rules = [(["cup"], ["tea"], 2, 1.0, None), (["tea"], ["cup"], 2, 2 / 3, 1.0), (["jam"], ["tea"], 1, 1.0, None)]
    put(root, ASSOCIATION_RULES, (_rule(rule, names) for rule in rules))
    put(root, SEGMENT_RULES, ({"segment": f"{HOSTILE} {n}"} | _rule(rules[n], names) for n in (0, 1)))
    steps = [([["tea"]], None, None), ([["tea"], ["cup", "jam"]], 0.5, 1.5), ([["jam"], ["tea"], ["cup"]], 1.0, 3.0)]
    put(root, FREQUENT_SEQUENCES, (_sequence(items, confidence, lift, names) for items, confidence, lift in steps))
    earned = [(["tea"], "30.5"), (["cup", "tea"], "12.25")]
    put(root, VALUABLE_ITEMSETS, (_value(items, revenue, names) for items, revenue in earned))


def put_rejected(root: str) -> None:
    """One event and one item turned away."""
    common = {"job": "clean", "detail": HOSTILE}
    rows = [
        common | {"target_table": "clean_events", "row_key": "6", "reason": "quantity_not_positive"},
        common | {"target_table": "clean_items", "row_key": "8", "reason": "picture_unreadable"},
    ]
    put(root, REJECTED_ROWS, rows)


def put_job_runs(root: str) -> None:
    """A clean run of 22 seconds after a longer one, and one that failed."""
    common = {
        "job": "clean",
        "attempt": 1,
        "fingerprint": "f",
        "run_date": WHEN.date(),
        "models": [],
        "inputs": [],
        "outputs": [],
    }
    runs = [("a", "succeeded", 0, 300), ("b", "succeeded", 10, 22), ("c", "failed", 20, 1000)]
    put(root, JOB_RUNS, (
        common | {"run_id": run, "status": status, "started_at": WHEN + dt.timedelta(hours=start),
                  "ended_at": WHEN + dt.timedelta(hours=start, seconds=seconds)}
        for run, status, start, seconds in runs
    ))  # fmt: skip


def put_all(root: str) -> None:
    """Everything."""
    for part in (put_items, put_similar, put_training, put_events, put_rejected, put_job_runs):
        part(root)


def _itemset(items: list[str], count: int, names: dict[str, str]) -> Row:
    return {
        "itemset_id": json.dumps(items), "length": len(items), "basket_count": count, "support": count / 3,
        "is_closed": True, "is_maximal": True, "is_generator": True,
        "items": items, "item_names": [names[i] for i in items],
    }  # fmt: skip


def _rule(rule: tuple[list[str], list[str], int, float, float | None], names: dict[str, str]) -> Row:
    antecedent, consequent, count, confidence, conviction = rule
    return {
        "antecedent_id": json.dumps(antecedent), "consequent_id": json.dumps(consequent), "basket_count": count,
        "antecedent_count": round(count / confidence), "consequent_count": count, "baskets": 3,
        "support": count / 3, "confidence": confidence, "lift": 1 + confidence / 10, "leverage": 0.0123456,
        "conviction": conviction, **INTERVALS, "antecedent": antecedent, "consequent": consequent,
        "antecedent_names": [names[i] for i in antecedent], "consequent_names": [names[i] for i in consequent],
    }  # fmt: skip


def _sequence(items: list[list[str]], confidence: float | None, lift: float | None, names: dict[str, str]) -> Row:
    return {
        "sequence_id": json.dumps(items), "length": sum(map(len, items)), "elements": len(items), "customer_count": 2,
        "support": 0.5, "antecedent_count": confidence and round(2 / confidence), "confidence": confidence,
        "lift": lift, "median_days": confidence and 6.5, "items": items,
        "item_names": [[names[i] for i in element] for element in items],
    }  # fmt: skip


def _value(items: list[str], revenue: str, names: dict[str, str]) -> Row:
    return {
        "itemset_id": json.dumps(items), "length": len(items), "revenue": Decimal(revenue), "revenue_share": 0.4,
        "basket_count": 3, "support": 1.0, "revenue_per_basket": Decimal("1.5"), "basket_share": 0.8,
        "items": items, "item_names": [names[i] for i in items],
    }  # fmt: skip
