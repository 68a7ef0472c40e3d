"""Events: every row gets the verdict that a slow, obvious judge gives it."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kinfolk.cleaning import EventReason, clean_events
from kinfolk.settings import CleaningSettings, EventSource
from kinfolk.tables.catalog import CLEAN_EVENTS, RAW_EVENTS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHOP = EventSource(name="shop", path="x", basket="b", item="i", time="t", quantity="q", price="p")
BARE = EventSource(name="bare", path="x", basket="b", item="i")
SETTINGS = CleaningSettings(cancellation_prefix="C", time_formats=("yyyy-MM-dd",))
CHOICES: dict[str, list[str | None]] = {
    "basket_id": ["B1", " B1 ", "B2", "C3", None, "  "],
    "customer_id": ["7", "8", None],
    "item_id": ["pen", "cup", "cup ", None],
    "item_name": ["PEN", None],
    "category": ["Desk > Pens", " Desk > Pens\t", " ", None],
    "segment": ["north", "north ", "", None],
    "event_time": ["2026-01-01", "2026-01-02", "01.02.2026", None],
    "quantity": ["1", "1.0", "2", "0", "-1", "many", None],
    "price": ["1.50", "1.5", "0", "-0.01", "free", None],
}
TEXTS = ("basket_id", "customer_id", "item_id", "item_name", "category", "segment")
COLUMNS = ["source", "file", "row", *CHOICES]


def make_rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Rows of which about half are good, and many alike."""
    pick = random.Random(seed)
    rows = []
    for number in range(count):
        source = pick.choice(["shop", "shop", "bare", "gone"])
        values = {
            name: pick.choice(values) if pick.random() < 0.15 else pick.choice(values[:2])
            for name, values in CHOICES.items()
        }
        if source == "bare":
            values |= {"event_time": None, "price": None, "quantity": "1"}
        rows.append({"source": source, "file": pick.choice(["a.csv", "b.csv"]), "row": number} | values)
    pick.shuffle(rows)
    return rows


def judge_slowly(rows: list[dict[str, Any]]) -> dict[int, tuple[str | None, tuple[Any, ...]]]:
    """Row number → reason or None, and the typed values."""
    verdicts: dict[int, tuple[str | None, tuple[Any, ...]]] = {}
    seen: set[tuple[Any, ...]] = set()
    for row in sorted(rows, key=lambda row: (row["source"], row["file"], row["row"])):
        text = {name: (row[name] or "").strip() or None for name in CHOICES}
        values = (
            *(text[name] for name in TEXTS),
            _read(text["event_time"], lambda t: datetime.strptime(t, "%Y-%m-%d")),
            _read(text["quantity"], lambda t: int(Decimal(t))),
            _read(text["price"], Decimal),
        )
        reason = _first_reason(row["source"], text, values)
        if reason is None and values in seen:
            reason = "duplicate"
        if reason is None:
            seen.add(values)
        verdicts[row["row"]] = (reason, values)
    return verdicts


def _first_reason(source: str, text: dict[str, str | None], values: tuple[Any, ...]) -> str | None:
    basket, _, item, *_, time, quantity, price = values
    if basket is None:
        return "basket_missing"
    if item is None:
        return "item_missing"
    if basket.startswith("C"):
        return "cancelled"
    return (
        _missing_or_invalid("time", text["event_time"], time, is_needed=source == "shop")
        or _missing_or_invalid("quantity", text["quantity"], quantity, is_needed=True)
        or ("quantity_not_positive" if quantity <= 0 else None)
        or _missing_or_invalid("price", text["price"], price, is_needed=source == "shop")
        or ("price_not_positive" if price is not None and price <= 0 else None)
    )


def _missing_or_invalid(kind: str, text: str | None, value: Any, *, is_needed: bool) -> str | None:
    if text is None:
        return f"{kind}_missing" if is_needed else None
    return f"{kind}_invalid" if value is None else None


def _read(text: str | None, reader: Any) -> Any:
    try:
        return None if text is None else reader(text)
    except (ValueError, ArithmeticError):
        return None


def run(spark: SparkSession, rows: list[dict[str, Any]], settings: CleaningSettings = SETTINGS) -> list[dict[str, Any]]:
    fields = [field.with_nullable(nullable=True) for field in RAW_EVENTS.arrow_schema() if field.name in COLUMNS]
    raw = spark.createDataFrame(pa.Table.from_pylist(rows, schema=pa.schema(fields)))
    found: list[dict[str, Any]] = clean_events(raw, [SHOP, BARE], settings).toArrow().to_pylist()
    return found


def test_every_row_gets_the_slow_judges_verdict_and_values(spark: SparkSession) -> None:
    rows = make_rows(3000, seed=1)
    expected = judge_slowly(rows)
    found = run(spark, rows)
    assert len(found) == len(rows)
    assert {row["row"]: row["reject_reason"] for row in found} == {n: reason for n, (reason, _) in expected.items()}
    names = [*TEXTS, "event_time", "quantity", "price"]
    typed = {
        row["row"]: tuple(v.replace(tzinfo=None) if isinstance(v, datetime) else v for v in (row[n] for n in names))
        for row in found
        if row["reject_reason"] is None
    }
    assert typed == {n: values for n, (reason, values) in expected.items() if reason is None}
    reasons = Counter(row["reject_reason"] for row in found)
    assert reasons.keys() == {None, *map(str, EventReason)}, "a reason was never put to the test"


def test_details_show_what_offended(spark: SparkSession) -> None:
    good = {name: values[0] for name, values in CHOICES.items()} | {"source": "shop", "file": "a.csv"}
    wrong = [
        {"quantity": "many"},
        {"price": "-0.01"},
        {"event_time": "01.02.2026"},
        {"basket_id": "C3"},
        {"item_id": None},
    ]
    found = run(spark, [good | change | {"row": n} for n, change in enumerate(wrong)])
    details = {row["row"]: row["reject_detail"] for row in found}
    assert details == {0: "many", 1: "-0.01", 2: "01.02.2026", 3: "C3", 4: None}


def test_duplicates_and_cancellations_stay_where_the_settings_say_so(spark: SparkSession) -> None:
    rows = make_rows(500, seed=2)
    found = run(spark, rows, CleaningSettings(time_formats=("yyyy-MM-dd",), drop_duplicate_events=False))
    assert {"duplicate", "cancelled"}.isdisjoint(row["reject_reason"] for row in found)
    assert any((row["basket_id"] or "").startswith("C") and row["reject_reason"] is None for row in found)


def test_the_result_has_the_shape_of_the_table(spark: SparkSession) -> None:
    found = run(spark, make_rows(5, seed=3))
    assert set(found[0]) == {*CLEAN_EVENTS.content, "reject_reason", "reject_detail"}
