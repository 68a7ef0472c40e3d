"""Items: their texts normalized, their pictures tried, each judged by the row rules, and repeated ids set aside."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Window
from pyspark.sql import functions as F

from kinfolk.cleaning.reasons import ItemReason
from kinfolk.cleaning.rules import ORIGIN, Rule, judge
from kinfolk.settings import CleaningSettings

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_TEXTS = ("item_id", "subject_id", "variant", "label", "text")
_MEDIA_REASONS = {
    ("image", "missing"): ItemReason.IMAGE_MISSING,
    ("image", "too_large"): ItemReason.IMAGE_TOO_LARGE,
    ("image", "outside_media_root"): ItemReason.IMAGE_OUTSIDE_MEDIA_ROOT,
    ("image", "unreadable"): ItemReason.IMAGE_UNREADABLE,
    ("audio", "missing"): ItemReason.AUDIO_MISSING,
    ("audio", "too_large"): ItemReason.AUDIO_TOO_LARGE,
    ("audio", "outside_media_root"): ItemReason.AUDIO_OUTSIDE_MEDIA_ROOT,
    ("audio", "unreadable"): ItemReason.AUDIO_UNREADABLE,
}


def clean_items(raw: DataFrame, settings: CleaningSettings) -> DataFrame:
    """Every row of raw_items in the shape of clean_items, with `reject_reason` where it may not stay.

    Rows carry `file` and `row` as well, which with `source` are the key of the row they come from.
    """
    normalized = raw.withColumns({name: normalize_text(F.col(name)) for name in _TEXTS})
    named = normalized.withColumn("subject_id", F.coalesce("subject_id", "item_id"))
    judged = reject_repeated_ids(_judge_rows(named, settings), _repeated_rows(named, settings))
    return judged.select(
        *ORIGIN, "item_id", "subject_id", "variant", "label", "text", "image", "audio", "reject_reason", "reject_detail"
    )


def item_rules(settings: CleaningSettings) -> list[Rule]:
    """The row rules, in the order in which they are asked; `image_fault` is what decoding the picture found."""
    media = {
        reason: Rule(reason, F.col(f"{kind}_problem") == problem, F.col(f"{kind}_file"))
        for (kind, problem), reason in _MEDIA_REASONS.items()
    }
    faults = [
        Rule(reason, F.col("image_fault") == str(reason), F.col("image_file"))
        for reason in (ItemReason.IMAGE_TOO_MANY_PIXELS, ItemReason.IMAGE_UNDECODABLE)
    ]
    length = F.length("text")
    is_empty = F.coalesce("text", "image", "audio").isNull()
    return [
        Rule(ItemReason.ID_MISSING, F.col("item_id").isNull(), F.lit("")),
        *media.values(),
        *faults,
        Rule(ItemReason.TEXT_TOO_LONG, length > settings.max_text_characters, length.cast("string")),
        Rule(ItemReason.CONTENT_MISSING, is_empty, F.lit("")),
    ]


def reject_repeated_ids(judged: DataFrame, repeated: DataFrame) -> DataFrame:
    """Set aside the rows whose origin is in `repeated`."""
    marked = judged.join(F.broadcast(repeated.withColumn("is_repeated", F.lit(True))), list(ORIGIN), "left")  # noqa: FBT003
    is_repeated = F.coalesce("is_repeated", F.lit(False))  # noqa: FBT003
    reason, detail = F.lit(str(ItemReason.DUPLICATE_ID)), F.col("item_id")
    return marked.withColumns(
        {
            "reject_reason": F.when(is_repeated, reason).otherwise(F.col("reject_reason")),
            "reject_detail": F.when(is_repeated, detail).otherwise(F.col("reject_detail")),
        }
    )


def _judge_rows(named: DataFrame, settings: CleaningSettings) -> DataFrame:
    fault = picture_fault(F.col("image"), settings.max_image_pixels)
    return named.withColumn("image_fault", fault).withColumns(judge(item_rules(settings)))


def _repeated_rows(named: DataFrame, settings: CleaningSettings) -> DataFrame:
    """Origins of good items whose id an earlier good item has.

    Ids are counted first, so that only rows whose id comes again are judged a second time and pictures are not
    shuffled.
    """
    again = named.groupBy("item_id").agg(F.count("*").alias("times")).where("times > 1").select("item_id")
    alike = Window.partitionBy("item_id").orderBy(*ORIGIN)
    return (
        _judge_rows(named.join(F.broadcast(again), "item_id", "left_semi"), settings)
        .where("reject_reason IS NULL")
        .select(*ORIGIN, F.row_number().over(alike).alias("place"))
        .where("place > 1")
        .drop("place")
    )


def normalize_text(text: Column) -> Column:
    """Unicode's composed form (NFC) without white space around it; null where nothing is left."""

    def normalize(values: pa.Array) -> pa.Array:
        # Arrow's own normalization gives the decomposed form where it is asked for the composed one.
        composed = [None if value is None else unicodedata.normalize("NFC", value) for value in values.to_pylist()]
        trimmed = pc.utf8_trim_whitespace(pa.array(composed, pa.string()))
        return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, trimmed.type), trimmed)

    return _apply_arrow(normalize, text)


def picture_fault(image: Column, max_pixels: int) -> Column:
    """The reason why a picture cannot be used, null where it can or where there is none."""

    def find_faults(values: pa.Array) -> pa.Array:
        from kinfolk.cleaning.pictures import find_picture_fault

        contents = (value.as_py() for value in values)
        return pa.array([find_picture_fault(c, max_pixels) if c is not None else None for c in contents], pa.string())

    return _apply_arrow(find_faults, image)


def _apply_arrow(function: Callable[[pa.Array], pa.Array], column: Column) -> Column:
    """A column of text made by a function of Arrow arrays."""
    applied: Column = F.arrow_udf(function, "string")(column)  # type: ignore[attr-defined]  # missing in its stubs
    return applied
