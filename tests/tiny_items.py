"""A tiny encoder with fixed weights, and a tiny item_features table: what tests of embed and join work on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from kinfolk.tables.catalog import CLEAN_ITEMS, ITEM_EMBEDDINGS, ITEM_FEATURES, TEXT_VOCABULARY
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from kinfolk.settings import Settings
    from kinfolk.tables.contract import Table

IMAGE_SIZE = 8
TOKENS = ["cat", "dog", "face", "happy", "red", "sad"]
"""The vocabulary; token ids count from 1."""


def save_tiny_encoder(directory: str | Path, *, seed: int = 0, tokens: list[str] = TOKENS) -> None:
    """An untrained encoder for pictures of 8 x 8 and the vocabulary above, 16 coordinates."""
    from kinfolk.learning.encoders import EncoderShape, build_encoder, hash_vocabulary, save_encoder

    shape = EncoderShape(
        image_size=IMAGE_SIZE,
        channels=(4, 8),
        vocabulary_size=len(tokens),
        vocabulary_sha256=hash_vocabulary(tokens),
        token_size=8,
        embedding_size=16,
    )
    save_encoder(directory, build_encoder(shape, seed=seed))


def promote_tiny_encoder(settings: Settings, directory: Path, *, seed: int = 0) -> str:
    """Register a tiny encoder in the lake's tracking and promote it; returns its version."""
    from kinfolk.tracking import Tracker

    save_tiny_encoder(directory, seed=seed)
    tracker = Tracker(settings.tracking, settings.lake.root)
    version = tracker.register("encoder", str(directory), run_id=f"given-{seed}").version
    tracker.promote("encoder", version)
    return version


def make_features(count: int = 40, *, seed: int = 0) -> pa.Table:
    """Rows of item_features: every fifth has no text, every seventh no picture, the last two copy the first."""
    random = np.random.default_rng(seed)
    rows = [_make_row(place, random) for place in range(count)]
    for place in range(count - 2, count):
        rows[place] |= {"image": rows[0]["image"], "text_tokens": rows[0]["text_tokens"]}
    return _as_table(rows, ITEM_FEATURES)


def _make_row(place: int, random: np.random.Generator) -> dict[str, Any]:
    picture = random.integers(0, 256, IMAGE_SIZE * IMAGE_SIZE * 3, dtype=np.uint8).tobytes()
    tokens = random.integers(1, len(TOKENS) + 1, random.integers(1, 5)).tolist()
    return {
        "item_id": f"item{place:03d}",
        "subject_id": f"subject{place // 2:03d}",
        "source": ("left", "right")[place % 2],
        "split": "train" if place // 2 % 3 else "held_out",
        "image": picture if place % 7 != 6 else None,
        "text_tokens": tokens if place % 5 != 4 else None,
    }


def make_vocabulary(tokens: list[str] = TOKENS) -> pa.Table:
    """Rows of text_vocabulary."""
    rows = [{"token": token, "token_id": place, "item_count": 2} for place, token in enumerate(tokens, start=1)]
    return _as_table(rows, TEXT_VOCABULARY)


def _as_table(rows: list[dict[str, Any]], table: Table) -> pa.Table:
    """Rows with the content columns of a table, missing ones null."""
    schema = table.arrow_schema()
    return pa.Table.from_pylist(
        rows, schema=pa.schema([schema.field(name).with_nullable(nullable=True) for name in table.content])
    )


def make_embeddings(count: int = 60, *, seed: int = 0, modality: str = "image") -> pa.Table:
    """Rows of item_embeddings: small whole vectors brought to length 1, with copies, ties and several groups."""
    vectors = np.random.default_rng(seed).integers(-1, 2, size=(count, 4)).astype(np.float64)
    vectors[:, 0] += 2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [
        {"item_id": f"item{place:03d}", "modality": modality, "embedding": vector.astype(np.float32).tolist()}
        for place, vector in enumerate(vectors)
    ]
    return _as_table(rows, ITEM_EMBEDDINGS)


def make_clean_items(labels: dict[str, str | None]) -> pa.Table:
    """Rows of clean_items: ids with their labels."""
    rows = [
        {"item_id": item, "subject_id": item, "label": label, "source": "given", "text": item}
        for item, label in labels.items()
    ]
    return _as_table(rows, CLEAN_ITEMS)


def put_rows(lake: str, table: Table, rows: pa.Table) -> None:
    """Make a table of the lake hold exactly these rows; provenance is made up."""
    made_up = {"string": "given", "timestamp": datetime(2026, 1, 1, tzinfo=UTC), "bigint": 0}
    for column in table.columns:
        if column.name not in rows.column_names:
            rows = rows.append_column(column.name, pa.array([made_up[column.type]] * rows.num_rows))
    Lake(lake).replace_rows(table, rows.select(table.column_names), "true")
