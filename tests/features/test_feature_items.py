"""Batches of items as batches of features, without Spark."""

import io

import pyarrow as pa
import pytest
from PIL import Image

from kinfolk.features.items import CARRIED, FEATURES_SCHEMA, ItemFeaturizer
from kinfolk.features.text import Vocabulary, count_items, fit_vocabulary
from kinfolk.settings import FeatureSettings

SETTINGS = FeatureSettings(image_size=8, min_token_items=1, max_tokens=5)


def picture(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def featurize(text: str | None, image: bytes | None, vocabulary: Vocabulary | None = None) -> dict[str, object]:
    schema = pa.schema([(name, pa.string()) for name in (*CARRIED, "text")] + [("image", pa.binary())])
    item = dict.fromkeys(CARRIED, "x") | {"variant": None, "text": text, "image": image}
    featurizer = ItemFeaturizer(vocabulary or fit_vocabulary(count_items(["red cat"]), SETTINGS), SETTINGS)
    features = featurizer.featurize(pa.RecordBatch.from_pylist([item], schema=schema))
    assert features.schema == FEATURES_SCHEMA
    [row] = features.to_pylist()
    assert {name: row[name] for name in CARRIED} == {name: item[name] for name in CARRIED}
    return row


def test_an_item_becomes_pixels_tokens_and_a_side():
    row = featurize("a red dog", picture((1, 2, 3)))
    assert row["image"] == bytes([1, 2, 3]) * 64
    assert row["text_tokens"]
    assert row["split"] in ("train", "held_out")
    assert row["reject_reason"] is None


def test_what_is_not_there_is_null_and_what_is_unknown_is_empty():
    assert featurize(None, picture((1, 2, 3)))["text_tokens"] is None
    assert featurize("xyz", picture((1, 2, 3)))["text_tokens"] == []
    assert featurize("red", None)["image"] is None


def test_long_texts_keep_their_words():
    assert len(featurize("red cat " * 20, None)["text_tokens"]) == 5


@pytest.mark.parametrize(
    ("text", "image", "reason"),
    [
        (None, None, "nothing_to_learn_from"),
        ("xyz", None, "nothing_to_learn_from"),
        ("red cat", b"no picture", "image_not_decodable"),
    ],
)
def test_items_that_cannot_be_tensors_carry_a_reason(text, image, reason):
    row = featurize(text, image)
    assert row["reject_reason"] == reason
    assert row["reject_detail"]
    assert row["split"] is None
