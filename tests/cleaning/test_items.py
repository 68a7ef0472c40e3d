"""Items: texts normalized, faulty ones turned away with their reason, the first of an id kept."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from PIL import Image

from kinfolk.cleaning import ItemReason, clean_items
from kinfolk.settings import CleaningSettings
from kinfolk.tables.catalog import CLEAN_ITEMS, RAW_ITEMS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def picture(width: int = 4, height: int = 4) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(content, "PNG")
    return content.getvalue()


def run(spark: SparkSession, rows: list[dict[str, Any]], **options: int) -> dict[int, dict[str, Any]]:
    """Result by row number; rows are given what they do not say."""
    fields = [
        field.with_nullable(nullable=True) for field in RAW_ITEMS.arrow_schema() if field.name in RAW_ITEMS.content
    ]
    full = [{"source": "s", "file": "a.csv", "row": n, "item_id": f"i{n}"} | row for n, row in enumerate(rows)]
    raw = spark.createDataFrame(pa.Table.from_pylist(full, schema=pa.schema(fields)))
    found = clean_items(raw.repartition(3), CleaningSettings(**options)).toArrow().to_pylist()
    assert len(found) == len(rows), "rows were lost or came twice"
    return {row["row"]: row for row in found}


FAULTS: list[tuple[dict[str, Any], ItemReason]] = [
    ({"item_id": None, "text": "x"}, ItemReason.ID_MISSING),
    ({"item_id": " \u00a0", "text": "x"}, ItemReason.ID_MISSING),
    ({"text": "x" * 21}, ItemReason.TEXT_TOO_LONG),
    ({"text": "  "}, ItemReason.CONTENT_MISSING),
    ({"image": picture()[:40], "text": "x"}, ItemReason.IMAGE_UNDECODABLE),
    ({"image": picture(11, 10)}, ItemReason.IMAGE_TOO_MANY_PIXELS),
    *(
        ({f"{kind}_file": "a", f"{kind}_problem": problem, "text": "x"}, ItemReason(f"{kind}_{problem}"))
        for kind in ("image", "audio")
        for problem in ("missing", "too_large", "outside_media_root", "unreadable")
    ),
]


def test_every_fault_has_its_reason(spark: SparkSession) -> None:
    found = run(spark, [row for row, _ in FAULTS], max_text_characters=20, max_image_pixels=109)
    assert [found[n]["reject_reason"] for n in range(len(FAULTS))] == [str(reason) for _, reason in FAULTS]
    assert {*(reason for _, reason in FAULTS), ItemReason.DUPLICATE_ID} == set(ItemReason)


def test_good_items_stay_whole(spark: SparkSession) -> None:
    rows = [
        {"text": "x" * 20},
        {"image": picture(11, 10)},
        {"audio": b"any bytes"},
        {"text": " Cafe\u0301\n", "item_id": "\te\u0301 ", "label": "", "variant": " ", "subject_id": None},
        {"text": "a", "subject_id": "shown"},
    ]
    found = run(spark, rows, max_text_characters=20, max_image_pixels=110)
    assert [row["reject_reason"] for row in found.values()] == [None] * 5
    assert found[1]["image"] == picture(11, 10)
    assert found[2]["audio"] == b"any bytes"
    composed = {name: found[3][name] for name in ("item_id", "subject_id", "text", "label", "variant")}
    assert composed == {
        "item_id": "\u00e9",
        "subject_id": "\u00e9",
        "text": "Caf\u00e9",
        "label": None,
        "variant": None,
    }
    assert found[4]["subject_id"] == "shown"
    assert set(found[0]) >= {*CLEAN_ITEMS.content, "source", "file", "row", "reject_reason", "reject_detail"}


@pytest.mark.parametrize("first_is_good", [True, False])
def test_of_one_id_the_first_good_row_stays(spark: SparkSession, first_is_good: bool) -> None:
    rows = [
        {"item_id": "e\u0301", "file": "b.csv", "text": "third"},
        {"item_id": "\u00e9", "file": "a.csv", "text": "first" if first_is_good else None},
        {"item_id": "\u00e9 ", "file": "a.csv", "text": "second"},
        {"item_id": "other", "text": "alone"},
        {"item_id": None, "text": "no id"},
        {"item_id": None, "text": "no id either"},
    ]
    found = run(spark, rows)
    stayed = {row["text"] for row in found.values() if row["reject_reason"] is None}
    assert stayed == {"first" if first_is_good else "second", "alone"}
    turned_away = {row["text"]: row["reject_reason"] for row in found.values() if row["reject_reason"]}
    assert turned_away["third"] == "duplicate_id"
    assert turned_away["no id"] == turned_away["no id either"] == "id_missing"
    assert found[0]["reject_detail"] == "\u00e9"
