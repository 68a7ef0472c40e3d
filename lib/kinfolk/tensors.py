"""Arrow buffers as torch tensors, without a copy where the memory allows it; nulls become masks.

Shapes: B rows, T values of all rows together, H height, W width, D coordinates.

Tensors share memory with the Arrow arrays that they come from: read them, or clone them before writing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.dlpack import from_dlpack

from kinfolk.errors import DataError

NO_CODE = -1
"""Code of a null, which is also what a padded row carries."""


@dataclass(frozen=True)
class Pictures:
    """Pictures of one size: `values_BHW3` uint8, RGB 0-255, zeros where `is_present_B` is False."""

    values_BHW3: torch.Tensor
    is_present_B: torch.Tensor


@dataclass(frozen=True)
class Ragged:
    """A list for each row: row b holds `values_T[offsets_B1[b]:offsets_B1[b + 1]]`.

    A null list is empty and not present. `offsets_B1` is int64 with B + 1 entries, from 0 to T.
    """

    values_T: torch.Tensor
    offsets_B1: torch.Tensor
    is_present_B: torch.Tensor


@dataclass(frozen=True)
class Matrix:
    """A vector of one length for each row: `values_BD`, zeros where `is_present_B` is False."""

    values_BD: torch.Tensor
    is_present_B: torch.Tensor


@dataclass(frozen=True)
class ItemTensors:
    """Rows of item_features as tensors.

    `item_ids` and `sources` are None in padded rows, where `subjects_B` is NO_CODE. Equal subjects have equal codes, in
    every batch and on every rank.
    """

    item_ids: list[str | None]
    sources: list[str | None]
    subjects_B: torch.Tensor
    images: Pictures
    texts: Ragged


ITEM_COLUMNS = ("item_id", "subject_id", "source", "image", "text_tokens")
"""Columns of item_features that `item_tensors` needs."""


def item_tensors(table: pa.Table, *, image_size: int) -> ItemTensors:
    """Convert rows with ITEM_COLUMNS; pictures are `image_size` pixels high and wide."""
    return ItemTensors(
        item_ids=table.column("item_id").to_pylist(),
        sources=table.column("source").to_pylist(),
        subjects_B=string_codes(table.column("subject_id")),
        images=pictures(table.column("image"), height=image_size, width=image_size),
        texts=ragged(table.column("text_tokens")),
    )


def presence(array: pa.Array | pa.ChunkedArray) -> torch.Tensor:
    """Which rows are not null: bool [B]."""
    return torch.from_numpy(np.array(_contiguous(array).is_valid().to_numpy(zero_copy_only=False)))


def numbers(array: pa.Array | pa.ChunkedArray) -> torch.Tensor:
    """Convert numbers without nulls: [B], of the array's own type. Raises DataError where there is a null."""
    array = _contiguous(array)
    if array.null_count:
        raise DataError(
            f"{array.null_count} of {len(array)} values are null, which a tensor of {array.type} cannot say"
        )
    return _share(array)


def pictures(array: pa.Array | pa.ChunkedArray, *, height: int, width: int) -> Pictures:
    """Convert binary pictures of height x width x 3 bytes. Raises DataError where one has another size."""
    array = _contiguous(array)
    is_present_B = presence(array)
    filled_BHW3 = _picture_bytes(array.drop_null() if array.null_count else array, height, width)
    if not array.null_count:
        return Pictures(filled_BHW3, is_present_B)
    values_BHW3 = torch.zeros((len(array), height, width, 3), dtype=torch.uint8)
    values_BHW3[is_present_B] = filled_BHW3
    return Pictures(values_BHW3, is_present_B)


def _picture_bytes(array: pa.Array, height: int, width: int) -> torch.Tensor:
    """The pictures of an array without nulls, [B, H, W, 3], in the array's own memory."""
    size = height * width * 3
    if pa.types.is_fixed_size_binary(array.type):
        sizes, start, data = (
            np.full(len(array), array.type.byte_width),
            array.offset * array.type.byte_width,
            array.buffers()[1],
        )
    else:
        offsets = _offsets(array)
        sizes, start, data = np.diff(offsets), int(offsets[0]), array.buffers()[2]
    if (sizes != size).any():
        row = int(np.argmax(sizes != size))
        raise DataError(
            f"a picture has {sizes[row]} bytes, where {height} x {width} x 3 = {size} are expected; run featurize again"
        )
    if not len(array):
        return torch.zeros((0, height, width, 3), dtype=torch.uint8)
    flat = pa.Array.from_buffers(pa.uint8(), size * len(array), [None, data], offset=start)
    return _share(flat).view(len(array), height, width, 3)


def ragged(array: pa.Array | pa.ChunkedArray) -> Ragged:
    """Convert lists of numbers, of any lengths. Raises DataError where a list holds a null."""
    array = _contiguous(array)
    is_present_B = presence(array)
    if array.null_count:
        # What lies under a null list is not defined; without nulls the memory is shared.
        array = array.fill_null([])
    offsets = _offsets(array)
    values = array.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
    return Ragged(numbers(values), torch.from_numpy(offsets.astype(np.int64) - int(offsets[0])), is_present_B)


def matrix(array: pa.Array | pa.ChunkedArray) -> Matrix:
    """Convert lists of numbers of one length D. Raises DataError where lengths differ, and where all rows are null."""
    array = _contiguous(array)
    is_present_B = presence(array)
    filled = array.drop_null() if array.null_count else array
    lists = ragged(filled)
    lengths = lists.offsets_B1.diff()
    if not len(filled) or bool((lengths != lengths[0]).any()):
        found = sorted({int(length) for length in lengths})[:5]
        raise DataError(f"vectors of one length are expected; {len(array)} rows have the lengths {found}")
    values_ND = lists.values_T.view(len(filled), int(lengths[0]))
    if not array.null_count:
        return Matrix(values_ND, is_present_B)
    values_BD = torch.zeros((len(array), values_ND.shape[1]), dtype=values_ND.dtype)
    values_BD[is_present_B] = values_ND
    return Matrix(values_BD, is_present_B)


def string_codes(array: pa.Array | pa.ChunkedArray) -> torch.Tensor:
    """Code strings as int64 [B] from 0 up, equal for equal strings everywhere; NO_CODE for null.

    The code is the first 63 bits of the string's SHA-256: two of n different strings share one with a probability of
    about n² / 2^64.
    """
    encoded = _contiguous(array).dictionary_encode()
    codes = np.array([hash_string(text) for text in encoded.dictionary.to_pylist()] + [NO_CODE], dtype=np.int64)
    places = encoded.indices.fill_null(len(codes) - 1).to_numpy(zero_copy_only=False)
    return torch.from_numpy(codes[places])


def hash_string(text: str) -> int:
    """The first 63 bits of the SHA-256 of a string in UTF-8."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _contiguous(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):
        return array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    return array


def _offsets(array: pa.Array) -> np.ndarray[Any, np.dtype[np.integer[Any]]]:
    """Offsets of a binary or list array, B + 1 of them, into its data."""
    is_large = pa.types.is_large_list(array.type) or pa.types.is_large_binary(array.type)
    kind = pa.int64() if is_large else pa.int32()
    if not len(array):
        return np.zeros(1, dtype=np.int64 if is_large else np.int32)
    offsets = pa.Array.from_buffers(kind, len(array) + 1, [None, array.buffers()[1]], offset=array.offset)
    return np.asarray(offsets)


def _share(array: pa.Array) -> torch.Tensor:
    """A tensor in the memory of an array of numbers without nulls."""
    return from_dlpack(array)
