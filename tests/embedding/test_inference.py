from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from tiny_items import IMAGE_SIZE, TOKENS, make_features, make_vocabulary, save_tiny_encoder

from kinfolk.embedding.inference import (
    PortableEncoder,
    check_vocabulary,
    count_embeddable,
    embed_items,
    load_portable,
    read_encoder,
)
from kinfolk.errors import DataError, NotFoundError
from kinfolk.settings import EmbeddingSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SETTINGS = EmbeddingSettings(batch_size=16)
Embeddings = dict[tuple[str, str], np.ndarray]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> PortableEncoder:
    folder = tmp_path_factory.mktemp("encoder")
    save_tiny_encoder(folder)
    return read_encoder(str(folder), name="encoder", version="3")


def embed(features: DataFrame, encoder: PortableEncoder, settings: EmbeddingSettings = SETTINGS) -> pa.Table:
    return embed_items(features, encoder, source_version=7, settings=settings).toArrow()


def as_vectors(table: pa.Table) -> Embeddings:
    keys = zip(table["item_id"].to_pylist(), table["modality"].to_pylist(), strict=True)
    return {key: np.array(vector) for key, vector in zip(keys, table["embedding"].to_pylist(), strict=True) if vector}


def embed_one_by_one(table: pa.Table, folder: Path) -> Embeddings:
    """The oracle: each row alone, straight through the encoder."""
    import torch

    from kinfolk.learning.encoders import load_encoder

    encoder, vectors = load_encoder(folder), {}
    for row in table.to_pylist():
        if row["image"] is not None:
            picture = torch.frombuffer(bytearray(row["image"]), dtype=torch.uint8).view(1, IMAGE_SIZE, IMAGE_SIZE, 3)
            vectors[row["item_id"], "image"] = encoder.encode_images(picture)[0].numpy()
        if row["text_tokens"] is not None:
            tokens = torch.tensor(row["text_tokens"])
            vectors[row["item_id"], "text"] = encoder.encode_texts(tokens, torch.tensor([0, len(tokens)]))[0].numpy()
    return vectors


def test_each_picture_and_text_is_embedded_as_the_encoder_says(
    spark: SparkSession, encoder: PortableEncoder, tmp_path: Path
) -> None:
    features = make_features()
    found = embed(spark.createDataFrame(features), encoder)
    save_tiny_encoder(tmp_path)
    expected, vectors = embed_one_by_one(features, tmp_path), as_vectors(found)
    assert vectors.keys() == expected.keys()
    for key, vector in expected.items():
        np.testing.assert_allclose(vectors[key], vector, atol=1e-6)
    assert found["reject_reason"].null_count == found.num_rows == len(expected)
    provenance = found.select(["model_name", "model_version", "source_version"]).to_pylist()
    assert provenance[0] == {"model_name": "encoder", "model_version": "3", "source_version": 7}


def test_lengths_are_one(spark: SparkSession, encoder: PortableEncoder) -> None:
    vectors = as_vectors(embed(spark.createDataFrame(make_features()), encoder))
    lengths = [float(np.linalg.norm(vector)) for vector in vectors.values()]
    np.testing.assert_allclose(lengths, 1, atol=1e-6)


def test_the_rows_around_a_row_change_no_bit_of_it(spark: SparkSession, encoder: PortableEncoder) -> None:
    features = make_features(101)
    whole = as_vectors(embed(spark.createDataFrame(features), encoder))
    shuffled = spark.createDataFrame(features.take(np.random.default_rng(0).permutation(101)[:60])).repartition(5)
    part = as_vectors(embed(shuffled, encoder))
    assert 0 < len(part) < len(whole)
    assert all((vector == whole[key]).all() for key, vector in part.items())


def test_what_cannot_be_embedded_is_rejected_with_its_reason(spark: SparkSession, encoder: PortableEncoder) -> None:
    rows = make_features(7).to_pylist()[:6]
    rows[0]["image"] = b"\x00" * 5
    rows[1]["text_tokens"] = []
    rows[2]["text_tokens"] = [1, len(TOKENS) + 1]
    rows[3]["text_tokens"] = [1, None]
    rows[5]["text_tokens"] = [0]
    features = spark.createDataFrame(pa.Table.from_pylist(rows, schema=make_features().schema))
    found = embed(features, encoder)
    rejected = {
        (row["item_id"], row["modality"]): (row["reject_reason"], row["reject_detail"])
        for row in found.to_pylist()
        if row["reject_reason"]
    }
    assert rejected == {
        ("item000", "image"): ("wrong_picture_size", "5 bytes; the encoder takes 192"),
        ("item001", "text"): ("no_known_token", "0 token ids; the encoder knows 1 to 6"),
        ("item002", "text"): ("token_out_of_range", "2 token ids; the encoder knows 1 to 6"),
        ("item003", "text"): ("token_out_of_range", "2 token ids; the encoder knows 1 to 6"),
        ("item005", "text"): ("token_out_of_range", "1 token ids; the encoder knows 1 to 6"),
    }
    assert found.num_rows == count_embeddable(features, SETTINGS) == 11
    assert as_vectors(found).keys().isdisjoint(rejected)


@pytest.mark.parametrize(("weight", "reason"), [(float("nan"), "not_finite"), (0.0, "zero_embedding")])
def test_a_broken_model_gives_rejects_not_vectors(
    spark: SparkSession, tmp_path: Path, weight: float, reason: str
) -> None:
    import torch

    from kinfolk.learning.encoders import load_encoder, save_encoder

    save_tiny_encoder(tmp_path)
    broken = load_encoder(tmp_path)
    with torch.no_grad():
        broken.texts.projection.weight.fill_(weight)
        broken.texts.projection.bias.fill_(weight)
    save_encoder(tmp_path, broken)
    encoder = read_encoder(str(tmp_path), name="encoder", version="3")
    found = embed(spark.createDataFrame(make_features(6)), encoder, EmbeddingSettings(modalities=("text",)))
    assert set(found["reject_reason"].to_pylist()) == {reason}
    assert found["embedding"].null_count == found.num_rows > 0


def test_only_the_modalities_asked_for(spark: SparkSession, encoder: PortableEncoder) -> None:
    features = spark.createDataFrame(make_features())
    pictures = EmbeddingSettings(modalities=("image",), batch_size=4)
    found = embed(features, encoder, pictures)
    assert set(found["modality"].to_pylist()) == {"image"}
    assert found.num_rows == count_embeddable(features, pictures)


def count_loads(spark: SparkSession) -> dict[int, tuple[int, int]]:
    """For each Python worker, how often it has used an encoder that it had, and how often it has loaded one."""

    def report(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            pass
        counts = load_portable.cache_info()
        yield pa.record_batch([[os.getpid()], [counts.hits], [counts.misses]], names=["pid", "hits", "misses"])

    reports = spark.range(0, 8, 1, 8).mapInArrow(report, "pid bigint, hits bigint, misses bigint").collect()
    return {row.pid: (row.hits, row.misses) for row in reports}


def test_each_worker_loads_the_model_once(spark: SparkSession, tmp_path: Path) -> None:
    save_tiny_encoder(tmp_path, seed=99)
    encoder = read_encoder(str(tmp_path), name="encoder", version="1")
    features = spark.createDataFrame(make_features(80)).repartition(8)
    before = count_loads(spark)
    assert embed(features, encoder).num_rows == embed(features, encoder).num_rows
    changes = []
    for pid, (hits, misses) in count_loads(spark).items():
        old_hits, old_misses = before.get(pid, (0, 0))
        changes.append((hits - old_hits, misses - old_misses))
    assert any(hits > 1 for hits, _ in changes), "the workers that embedded were still there"
    assert all(loads <= 1 for _, loads in changes)


def test_an_encoder_of_another_vocabulary_is_refused(spark: SparkSession, encoder: PortableEncoder) -> None:
    check_vocabulary(spark.createDataFrame(make_vocabulary()), encoder)
    for changed in ([*TOKENS, "new"], TOKENS[::-1], TOKENS[:-1]):
        with pytest.raises(DataError, match=r"encoder version 3 was trained with another vocabulary.*Run train"):
            check_vocabulary(spark.createDataFrame(make_vocabulary(changed)), encoder)


def test_a_folder_without_an_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no encoder"):
        read_encoder(str(tmp_path), name="encoder", version="1")
