"""Batch inference: the encoder travels to the workers once, and Arrow batches go through it without Python per row.

Every batch that the encoder sees has the same number of rows, the last one filled up with nothing. Products of one
shape run through one kernel, so that the embedding of a row does not depend on the rows it travels with.

Shape suffixes: B rows of an Arrow batch, G good ones of them, D coordinates, T tokens of all rows together.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.errors import DataError
from kinfolk.settings import EmbeddingSettings, Modality

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from torch import Tensor

    from kinfolk.learning.encoders import Encoder, EncoderShape

_RESULT = pa.schema(
    [
        ("item_id", pa.string()),
        ("modality", pa.string()),
        ("embedding", pa.list_(pa.field("element", pa.float32()))),
        ("reject_reason", pa.string()),
        ("reject_detail", pa.string()),
    ]
)
_RESULT_DDL = "item_id string, modality string, embedding array<float>, reject_reason string, reject_detail string"


class EmbeddingProblem(StrEnum):
    """Why a picture or a text of an item has no embedding."""

    WRONG_PICTURE_SIZE = "wrong_picture_size"
    NO_KNOWN_TOKEN = "no_known_token"
    TOKEN_OUT_OF_RANGE = "token_out_of_range"
    NOT_FINITE = "not_finite"
    ZERO = "zero_embedding"


@dataclass(frozen=True)
class PortableEncoder:
    """A registered encoder as it travels: its files, told apart from others by the digest of their content."""

    name: str
    version: str
    shape: EncoderShape
    digest: str
    files: dict[str, bytes] = field(compare=False, repr=False)


def read_encoder(directory: str, *, name: str, version: str) -> PortableEncoder:
    """Read an encoder's files once, on the driver, and see that they load. Raises NotFoundError or DataError."""
    from kinfolk.learning.encoders import CONFIG_FILE, WEIGHTS_FILE, load_encoder

    shape = load_encoder(directory).shape
    files = {file: (Path(directory) / file).read_bytes() for file in (CONFIG_FILE, WEIGHTS_FILE)}
    digest = hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in files.values())).hexdigest()
    return PortableEncoder(name, version, shape, digest, files)


@lru_cache(maxsize=1)
def load_portable(encoder: PortableEncoder) -> Encoder:
    """The encoder, ready for inference; loaded once in each worker process and kept until another one is asked for."""
    from kinfolk.learning.encoders import load_encoder

    with tempfile.TemporaryDirectory(prefix="kinfolk-encoder-") as folder:
        for name, content in encoder.files.items():
            (Path(folder) / name).write_bytes(content)
        return load_encoder(folder)


def check_vocabulary(vocabulary: DataFrame, encoder: PortableEncoder) -> None:
    """Raise DataError unless the token ids of item_features mean what they meant when the encoder was trained.

    `vocabulary` has the columns token and token_id. A vocabulary that was fitted again gives other tokens the same ids,
    and embeddings of such texts would be noise that looks like data.
    """
    from kinfolk.learning.encoders import hash_vocabulary

    tokens = vocabulary.select("token_id", "token").toArrow().sort_by("token_id")["token"].to_pylist()
    if hash_vocabulary(tokens) != encoder.shape.vocabulary_sha256:
        raise DataError(
            f"{encoder.name} version {encoder.version} was trained with another vocabulary of "
            f"{encoder.shape.vocabulary_size:,} tokens than item_features has now ({len(tokens):,}): its text "
            "embeddings would mean nothing. Run train, then embed; or leave texts out with "
            "--set embedding.modalities=[image]"
        )


def count_embeddable(features: DataFrame, settings: EmbeddingSettings) -> int:
    """How many rows `embed_items` gives: one for each picture and text that there is, of the modalities asked for."""
    from pyspark.sql import functions as F

    counts = features.agg(*(F.count(_KINDS[modality].column) for modality in settings.modalities)).first()
    return sum(counts) if counts else 0


def embed_items(
    features: DataFrame, encoder: PortableEncoder, *, source_version: int, settings: EmbeddingSettings
) -> DataFrame:
    """Embed each picture and text of the items (item_id, image, text_tokens).

    Gives item_id, modality, embedding (of Euclidean length 1; null where rejected), model_name, model_version,
    source_version, reject_reason and reject_detail.
    """
    from pyspark.sql import functions as F

    shipped = features.sparkSession.sparkContext.broadcast(encoder)

    def embed_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import torch

        torch.set_num_threads(settings.threads)
        for batch in batches:
            for modality in settings.modalities:
                yield _embed_modality(batch, modality, load_portable(shipped.value), settings.batch_size)

    columns = [_KINDS[modality].column for modality in settings.modalities]
    return (
        features.select("item_id", *columns)
        .mapInArrow(embed_batches, _RESULT_DDL)
        .withColumns(
            {
                "model_name": F.lit(encoder.name),
                "model_version": F.lit(encoder.version),
                "source_version": F.lit(source_version).cast("bigint"),
            }
        )
    )


def _embed_modality(batch: pa.RecordBatch, modality: Modality, encoder: Encoder, batch_size: int) -> pa.RecordBatch:
    """One row for each item of the batch that has this modality."""
    kind = _KINDS[modality]
    batch = batch.filter(batch.column(kind.column).is_valid())
    values = batch.column(kind.column)
    problems_B, details = kind.find_problems(values, encoder)
    vectors_GD = kind.encode(values.filter(pa.array(problems_B == "")), encoder, batch_size)
    units_GD, problems_G = _normalise(vectors_GD)
    problems_B[problems_B == ""] = problems_G
    is_rejected_B = problems_B != ""
    return pa.record_batch(
        [
            batch.column("item_id").cast(pa.string()),
            pa.repeat(pa.scalar(modality), len(batch)),
            _vector_column(units_GD[problems_G == ""], is_rejected_B),
            pc.if_else(pa.array(is_rejected_B), pa.array(problems_B, pa.string()), pa.scalar(None, pa.string())),
            pc.if_else(pa.array(is_rejected_B), details, pa.scalar(None, pa.string())),
        ],
        schema=_RESULT,
    )


def _normalise(vectors_GD: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.object_]]:
    """Bring rows to Euclidean length 1; those that have no direction come with their problem."""
    lengths_G = np.sqrt(np.square(vectors_GD.astype(np.float64)).sum(axis=1))
    problems_G = np.full(len(vectors_GD), "", dtype=object)
    problems_G[lengths_G == 0] = EmbeddingProblem.ZERO.value
    problems_G[~np.isfinite(lengths_G)] = EmbeddingProblem.NOT_FINITE.value
    lengths_G[problems_G != ""] = 1
    return (vectors_GD / lengths_G[:, None]).astype(np.float32), problems_G


def _vector_column(units_GD: NDArray[np.float32], is_rejected_B: NDArray[np.bool_]) -> pa.ListArray:
    """A list for each row of the batch: the next of the unit vectors, or null where the row is rejected."""
    ends_B = np.cumsum(~is_rejected_B) * units_GD.shape[1]
    offsets = pa.array(np.concatenate([[0], ends_B]).astype(np.int32))
    values = pa.array(units_GD.ravel(), pa.float32())
    return pa.ListArray.from_arrays(offsets, values, type=_RESULT.field("embedding").type, mask=pa.array(is_rejected_B))


Problems = tuple[NDArray[np.object_], pa.StringArray]
"""For each row the reason why it cannot be embedded, or an empty string; and for each row what its size is."""


def _find_picture_problems(pictures: pa.Array, encoder: Encoder) -> Problems:
    expected = encoder.shape.image_size**2 * 3
    sizes = pc.binary_length(pictures)
    is_right_B = sizes.to_numpy(zero_copy_only=False) == expected
    reasons_B = np.where(is_right_B, "", EmbeddingProblem.WRONG_PICTURE_SIZE.value).astype(object)
    return reasons_B, _describe(sizes, f"bytes; the encoder takes {expected}")


def _find_text_problems(texts: pa.Array, encoder: Encoder) -> Problems:
    highest = encoder.shape.vocabulary_size
    lengths = pc.list_value_length(texts)
    lengths_B = lengths.to_numpy(zero_copy_only=False)
    token_T = pc.fill_null(texts.flatten(), 0).to_numpy(zero_copy_only=False)
    row_T = np.repeat(np.arange(len(texts)), lengths_B)
    reasons_B = np.where(lengths_B > 0, "", EmbeddingProblem.NO_KNOWN_TOKEN.value).astype(object)
    reasons_B[row_T[(token_T < 1) | (token_T > highest)]] = EmbeddingProblem.TOKEN_OUT_OF_RANGE.value
    return reasons_B, _describe(lengths, f"token ids; the encoder knows 1 to {highest}")


def _describe(amounts: pa.Array, meaning: str) -> pa.StringArray:
    return pc.binary_join_element_wise(amounts.cast(pa.string()), meaning, " ")


def _encode_pictures(pictures: pa.Array, encoder: Encoder, batch_size: int) -> NDArray[np.float32]:
    import torch

    from kinfolk import tensors

    size = encoder.shape.image_size
    values_GHW3 = tensors.pictures(pictures, height=size, width=size).values_B
    filled = torch.zeros((batch_size, size, size, 3), dtype=torch.uint8)

    def encode(start: int, stop: int) -> Tensor:
        filled[: stop - start] = values_GHW3[start:stop]
        return encoder.encode_images(filled)

    return _encode_in_batches(len(pictures), encoder, batch_size, encode)


def _encode_texts(texts: pa.Array, encoder: Encoder, batch_size: int) -> NDArray[np.float32]:
    import torch

    from kinfolk import tensors

    lists = tensors.ragged(texts)
    token_T, offsets = lists.values_T.to(torch.int64), lists.offsets_B1

    def encode(start: int, stop: int) -> Tensor:
        # Rows beyond the last are empty texts: their offsets repeat the end.
        places = torch.arange(start, start + batch_size + 1).clamp(max=stop)
        first, last = int(offsets[start]), int(offsets[stop])
        return encoder.encode_texts(token_T[first:last], offsets[places] - first)

    return _encode_in_batches(len(texts), encoder, batch_size, encode)


def _encode_in_batches(
    count: int, encoder: Encoder, batch_size: int, encode: Callable[[int, int], Tensor]
) -> NDArray[np.float32]:
    """Call `encode(start, stop)` for batch after batch; it gives `batch_size` rows, of which the first count."""
    vectors_GD = np.empty((count, encoder.shape.embedding_size), np.float32)
    for start in range(0, count, batch_size):
        stop = min(start + batch_size, count)
        vectors_GD[start:stop] = encode(start, stop)[: stop - start].numpy()
    return vectors_GD


class _Kind(NamedTuple):
    column: str
    find_problems: Callable[[pa.Array, Encoder], Problems]
    encode: Callable[[pa.Array, Encoder, int], NDArray[np.float32]]


_KINDS: dict[Modality, _Kind] = {
    "image": _Kind("image", _find_picture_problems, _encode_pictures),
    "text": _Kind("text_tokens", _find_text_problems, _encode_texts),
}
