"""The job on a planted table: nothing lost, nothing leaked, nothing moved."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from PIL import Image

from kinfolk.errors import LossLimitError
from kinfolk.features.split import Split, choose_split
from kinfolk.jobs.featurize import JOB
from kinfolk.run import Outcome, run_job
from kinfolk.settings import Settings
from kinfolk.tables.catalog import CLEAN_ITEMS, ITEM_FEATURES, REJECTED_ROWS, TEXT_VOCABULARY
from kinfolk.tables.lake import Lake

SUBJECTS = 12


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (number, 0, 255)).save(file, "PNG")
    return file.getvalue()


def item(item_id: str, number: int, **changes: Any) -> dict[str, Any]:
    text = f"shared word and own{number}"
    subject = f"subject {number}"
    made = {"item_id": item_id, "subject_id": subject, "source": "test", "text": text, "image": picture(number)}
    return made | {"run_id": "planted", "updated_at": datetime(2026, 1, 1, tzinfo=UTC)} | changes


def two_drawings_of_each() -> list[dict[str, Any]]:
    return [item(f"{drawer}/{number:02d}", number) for number in range(SUBJECTS) for drawer in ("left", "right")]


UNFIT = [
    item("z/broken", 1, image=b"no picture"),
    item("z/nothing", 2, image=None, text=None),
    item("z/unknown", 3, image=None, text="ξ"),
    item("z/picture only", 4, text=None),
    item("z/text only", 5, image=None),
]


@pytest.fixture
def featurize(spark, lake: str, make_settings: Callable[..., Settings]) -> Callable[..., Outcome]:
    """Write these clean items, run the job."""

    def run(items: list[dict[str, Any]], max_rejected_share: float = 0.5, **features: Any) -> Outcome:
        rows = pa.Table.from_pylist(items, schema=CLEAN_ITEMS.arrow_schema())
        write_deltalake(f"{lake}/clean_items", rows, mode="overwrite", configuration=CLEAN_ITEMS.table_properties)
        options = {"image_size": 8, "held_out_share": 0.3, **features}
        limits = {"max_rejected_share": max_rejected_share, "max_deleted_share": 1.0}
        settings = make_settings(features=options, limits=limits)
        return run_job(JOB, settings, run_date=date(2026, 1, 1), spark=spark)

    return run


def rows_of(lake: str, table: Any) -> list[dict[str, Any]]:
    return Lake(lake).read(table).to_pylist()


def test_the_job_keeps_every_item_or_says_why_not(featurize, lake):
    items = two_drawings_of_each() + UNFIT
    assert featurize(items).status == "succeeded"
    features = {row["item_id"]: row for row in rows_of(lake, ITEM_FEATURES)}
    rejected = {row["row_key"]: row["reason"] for row in rows_of(lake, REJECTED_ROWS)}
    assert len(features) + len(rejected) == len(items)
    assert rejected == {
        '{"item_id":"z/broken"}': "image_not_decodable",
        '{"item_id":"z/nothing"}': "nothing_to_learn_from",
        '{"item_id":"z/unknown"}': "nothing_to_learn_from",
    }
    assert features["left/07"]["image"] == bytes([7, 0, 255]) * 64
    assert features["z/picture only"]["text_tokens"] is None
    assert features["z/text only"]["image"] is None
    check_split(features.values())
    check_vocabulary(rows_of(lake, TEXT_VOCABULARY), features)
    assert featurize(items).status == "succeeded"
    assert {row["run_id"] for row in rows_of(lake, ITEM_FEATURES)} == {features["left/07"]["run_id"]}


def check_split(features) -> None:
    for row in features:
        assert row["split"] == choose_split(row["subject_id"], held_out_share=0.3, seed=0)
    assert {row["split"] for row in features} == {"train", "held_out"}


def check_vocabulary(vocabulary, features) -> None:
    """Only words of training items are known, and ids lead back to them."""
    tokens = {row["token_id"]: row["token"] for row in vocabulary}
    assert sorted(tokens) == list(range(1, len(tokens) + 1))
    for number in range(SUBJECTS):
        row = features[f"left/{number:02d}"]
        is_known = f"word:own{number}" in tokens.values()
        assert is_known == (row["split"] == Split.TRAIN)
        words = [tokens[t] for t in row["text_tokens"] if tokens[t].startswith("word:")]
        assert words == ["word:shared", "word:word", "word:and"] + [f"word:own{number}"] * is_known


def test_new_items_leave_the_split_of_the_others_alone(featurize, lake):
    featurize(two_drawings_of_each()[:10])
    before = {row["item_id"]: row["split"] for row in rows_of(lake, ITEM_FEATURES)}
    featurize(two_drawings_of_each())
    after = {row["item_id"]: row["split"] for row in rows_of(lake, ITEM_FEATURES)}
    assert len(after) == 2 * SUBJECTS
    assert before.items() <= after.items()


def test_too_many_unfit_items_stop_the_job(featurize, lake):
    with pytest.raises(LossLimitError, match="nothing_to_learn_from 2, image_not_decodable 1"):
        featurize(UNFIT, max_rejected_share=0.1, min_token_items=1)
    assert not Lake(lake).exists(ITEM_FEATURES) or Lake(lake).snapshot(ITEM_FEATURES).rows == 0
