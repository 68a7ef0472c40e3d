"""Rows of clean_items as rows of item_features, and the vocabulary that is fitted on their training split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kinfolk.features.rejects import FeatureError, FeatureReject
from kinfolk.features.split import Split, choose_split
from kinfolk.features.text import Vocabulary, count_items, fit_vocabulary
from kinfolk.settings import FeatureSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CARRIED = ("item_id", "subject_id", "variant", "label", "source")
"""Columns that an item keeps as they are."""

FEATURES_SCHEMA = pa.schema(
    [(name, pa.string()) for name in CARRIED]
    + [
        ("split", pa.string()),
        ("image", pa.binary()),
        ("text_tokens", pa.list_(pa.int32())),
        ("reject_reason", pa.string()),
        ("reject_detail", pa.string()),
    ]
)

_SLICE_BYTES = 64 << 20
"""Most bytes of decoded pictures that a worker hands back at a time."""


@dataclass(frozen=True)
class ItemFeaturizer:
    """Makes tensors of items; holds what was fitted."""

    vocabulary: Vocabulary
    settings: FeatureSettings

    def featurize(self, items: pa.RecordBatch) -> pa.RecordBatch:
        """Add the split, the pixels and the token ids to items, or the reason why an item has to be turned away."""
        rows = [self._featurize_one(row) for row in items.to_pylist()]
        return pa.RecordBatch.from_pylist(rows, schema=FEATURES_SCHEMA)

    def _featurize_one(self, item: dict[str, Any]) -> dict[str, Any]:
        row = {name: item[name] for name in CARRIED}
        try:
            return row | self._tensors(item)
        except FeatureError as error:
            return row | {"reject_reason": str(error.reason), "reject_detail": error.detail}

    def _tensors(self, item: dict[str, Any]) -> dict[str, Any]:
        # Pillow stays out of processes that only list tables and settings.
        from kinfolk.features.image import decode_picture

        settings = self.settings
        image, text = item["image"], item["text"]
        tokens = None if text is None else self.vocabulary.encode(text, max_tokens=settings.max_tokens)
        if image is None and not tokens:
            raise FeatureError(FeatureReject.NOTHING_TO_LEARN_FROM, "no text" if text is None else text)
        return {
            "split": str(
                choose_split(item["subject_id"], held_out_share=settings.held_out_share, seed=settings.split_seed)
            ),
            "image": None
            if image is None
            else decode_picture(image, size=settings.image_size, max_pixels=settings.max_image_pixels),
            "text_tokens": tokens,
        }


def fit_item_vocabulary(items: DataFrame, settings: FeatureSettings) -> Vocabulary:
    """Fit the vocabulary on the texts of the training split of clean items."""
    from pyspark.sql import functions as F

    partial_counts = items.select("subject_id", "text").mapInArrow(
        partial(_count_training_tokens, settings=settings), "token string, item_count bigint"
    )
    counts = (
        partial_counts.groupBy("token")
        .agg(F.sum("item_count").alias("item_count"))
        # Only what can enter the vocabulary is brought to the driver.
        .where(F.col("item_count") >= settings.min_token_items)
        .orderBy(F.desc("item_count"), "token")
        .limit(settings.max_vocabulary)
        .toArrow()
    )
    pairs = zip(counts.column("token").to_pylist(), counts.column("item_count").to_pylist(), strict=True)
    return fit_vocabulary(dict(pairs), settings)


def _count_training_tokens(batches: Iterable[pa.RecordBatch], *, settings: FeatureSettings) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        subjects, texts = batch.column("subject_id").to_pylist(), batch.column("text").to_pylist()
        counts = count_items(
            text
            for subject, text in zip(subjects, texts, strict=True)
            if choose_split(subject, held_out_share=settings.held_out_share, seed=settings.split_seed) is Split.TRAIN
        )
        yield pa.RecordBatch.from_arrays(
            [pa.array(list(counts), pa.string()), pa.array(counts.values(), pa.int64())], ["token", "item_count"]
        )


def featurize_items(items: DataFrame, vocabulary: Vocabulary, settings: FeatureSettings) -> DataFrame:
    """Make item_features of clean items; rows that cannot be made carry `reject_reason` and `reject_detail`."""
    featurizer = ItemFeaturizer(vocabulary, settings)
    schema = "".join(f"{name} string, " for name in (*CARRIED, "split"))
    schema += "image binary, text_tokens array<int>, reject_reason string, reject_detail string"
    return items.select(*CARRIED, "text", "image").mapInArrow(
        partial(_featurize_batches, featurizer=featurizer), schema
    )


def _featurize_batches(batches: Iterable[pa.RecordBatch], *, featurizer: ItemFeaturizer) -> Iterator[pa.RecordBatch]:
    rows = max(1, _SLICE_BYTES // (3 * featurizer.settings.image_size**2))
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            yield featurizer.featurize(batch.slice(start, rows))
