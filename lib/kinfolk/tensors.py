"""Arrow columns as torch tensors, without a copy where the memory allows it; nulls become masks.

Shapes: B rows, T values of all rows together, H height, W width, D coordinates.

Tensors share memory with the Arrow arrays that they come from: read them, or clone them before writing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.dlpack import from_dlpack

from kinfolk.errors import DataError

NO_CODE = -1
"""Code of a null."""


@dataclass(frozen=True)
class Dense:
    """A value of one shape for each row: `values_B` is [B, …], zeros where `is_present_B` is False."""

    values_B: torch.Tensor
    is_present_B: torch.Tensor


@dataclass(frozen=True)
class Ragged:
    """A list for each row: row b holds `values_T[offsets_B1[b]:offsets_B1[b + 1]]`.

    A null list is empty and not present. `offsets_B1` is int64 with B + 1 entries, from 0 to T.
    """

    values_T: torch.Tensor
    offsets_B1: torch.Tensor
    is_present_B: torch.Tensor

    def to_strings(self) -> list[str | None]:
        """The rows of a column that `strings` has read."""
        content, offsets = self.values_T.numpy().tobytes(), self.offsets_B1.tolist()
        return [
            content[start:stop].decode() if is_present else None
            for start, stop, is_present in zip(offsets, offsets[1:], self.is_present_B.tolist(), strict=False)
        ]


Column = Dense | Ragged
Columns = dict[str, Column]
Reader = Callable[[pa.Array | pa.ChunkedArray], Column]
"""Makes tensors of one column; `functools.partial` gives it what it needs besides the values."""


def numbers(array: pa.Array | pa.ChunkedArray, *, dtype: torch.dtype | None = None) -> Dense:
    """Convert numbers and booleans: [B], of the array's own type or another one, such as torch.bfloat16."""
    array = contiguous(array)
    is_present_B = _presence(array)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
        return Dense(_share(array.fill_null(0)).to(dtype or torch.bool), is_present_B)
    return Dense(_as_type(_share(array.fill_null(0) if array.null_count else array), dtype), is_present_B)


def vectors(array: pa.Array | pa.ChunkedArray, *, size: int | None = None, dtype: torch.dtype | None = None) -> Dense:
    """Convert lists of numbers of one length: [B, D].

    Raises DataError where lengths differ, from each other or from `size`, and where a list holds a null.
    """
    array = contiguous(array)
    is_present_B = _presence(array)
    filled = array.drop_null() if array.null_count else array
    if pa.types.is_fixed_size_list(array.type):
        lengths, values = np.full(len(filled), array.type.list_size), filled.flatten()
        size = array.type.list_size if size is None else size
    else:
        offsets = _offsets(filled)
        lengths, values = np.diff(offsets), filled.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
        size = int(lengths[0]) if size is None and len(lengths) else size
    if size is None:
        raise DataError(f"none of {len(array)} vectors is there to say how long they are; give `size`")
    if (lengths != size).any():
        found = np.unique(lengths)[:5].tolist()
        raise DataError(f"vectors of {size} coordinates are expected; {len(array)} rows have the lengths {found}")
    values_T = _share(_without_nulls(values))
    values_ND = _as_type(values_T.view(len(filled), size), dtype)
    return Dense(_spread(values_ND, is_present_B) if array.null_count else values_ND, is_present_B)


def pictures(array: pa.Array | pa.ChunkedArray, *, height: int, width: int) -> Dense:
    """Convert binary pictures of height x width x 3 bytes: uint8 [B, H, W, 3], RGB 0-255.

    Raises DataError where one has another size.
    """
    array = contiguous(array)
    is_present_B = _presence(array)
    values_NHW3 = _picture_bytes(array.drop_null() if array.null_count else array, height, width)
    return Dense(_spread(values_NHW3, is_present_B) if array.null_count else values_NHW3, is_present_B)


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
    array = contiguous(array)
    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_field))
    is_present_B = _presence(array)
    if array.null_count:
        # What lies under a null list is not defined; without nulls the memory is shared.
        array = array.fill_null([])
    offsets = _offsets(array)
    values = array.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
    return Ragged(_share(_without_nulls(values)), _from_zero(offsets), is_present_B)


def strings(array: pa.Array | pa.ChunkedArray) -> Ragged:
    """Convert strings, or binary values of any sizes, to their bytes: uint8, text in UTF-8."""
    array = contiguous(array)
    if pa.types.is_fixed_size_binary(array.type):
        array = array.cast(pa.binary())
    is_present_B = _presence(array)
    if array.null_count:
        array = array.fill_null("" if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) else b"")
    offsets = _offsets(array)
    count, data = int(offsets[-1] - offsets[0]), array.buffers()[2]
    if not count:
        return Ragged(torch.zeros(0, dtype=torch.uint8), _from_zero(offsets), is_present_B)
    content = pa.Array.from_buffers(pa.uint8(), count, [None, data], offset=int(offsets[0]))
    return Ragged(_share(content), _from_zero(offsets), is_present_B)


def codes(array: pa.Array | pa.ChunkedArray) -> Dense:
    """Code strings or integers as int64 [B] from 0 up, equal for equal values everywhere; NO_CODE for null.

    The code of a string is the first 63 bits of its SHA-256: two of n different strings share one with a probability of
    about n² / 2^64. That of an integer is its own `hash_integers` without the last bit. Raises DataError for columns
    that hold neither.
    """
    array = contiguous(array)
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DataError(f"codes are made of strings and integers, and the column holds {array.type}")
    is_present_B = _presence(array)
    if pa.types.is_integer(array.type):
        values = array.fill_null(0).to_numpy()
        coded = (hash_integers(values) >> np.uint64(1)).astype(np.int64)
    else:
        encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
        known = np.array([hash_string(text) for text in encoded.dictionary.to_pylist()] + [NO_CODE], dtype=np.int64)
        coded = known[encoded.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]
    values_B = torch.from_numpy(coded)
    return Dense(values_B if not array.null_count else values_B.where(is_present_B, NO_CODE), is_present_B)


def presence(array: pa.Array | pa.ChunkedArray) -> Dense:
    """Say which rows are not null: bool [B]."""
    is_present_B = _presence(contiguous(array))
    return Dense(is_present_B, _all_present(len(array)))


def hash_string(text: str) -> int:
    """The first 63 bits of the SHA-256 of a string in UTF-8."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def hash_integers(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Scatter 64-bit integers over all of uint64 (SplitMix64's finaliser; Steele, Lea & Flood 2014, figure 16)."""
    mixed = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def contiguous(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array of what may be several chunks."""
    if isinstance(array, pa.ChunkedArray):
        return array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    return array


def _presence(array: pa.Array) -> torch.Tensor:
    if not array.null_count:
        return _all_present(len(array))
    return torch.from_numpy(np.array(array.is_valid().to_numpy(zero_copy_only=False)))


@lru_cache(maxsize=64)
def _all_present(count: int) -> torch.Tensor:
    return torch.ones(count, dtype=torch.bool)


def _spread(values_N: torch.Tensor, is_present_B: torch.Tensor) -> torch.Tensor:
    """The rows that are there, with zeros between them."""
    values_B = torch.zeros((len(is_present_B), *values_N.shape[1:]), dtype=values_N.dtype)
    values_B[is_present_B] = values_N
    return values_B


def _without_nulls(array: pa.Array) -> pa.Array:
    if array.null_count:
        raise DataError(f"{array.null_count} of {len(array)} values in lists are null, which a tensor cannot say")
    return array


def _as_type(values: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    return values if dtype is None else values.to(dtype)


def _from_zero(offsets: np.ndarray[Any, np.dtype[np.integer[Any]]]) -> torch.Tensor:
    return torch.from_numpy(offsets.astype(np.int64) - int(offsets[0]))


def _offsets(array: pa.Array) -> np.ndarray[Any, np.dtype[np.integer[Any]]]:
    """Offsets of a binary or list array, B + 1 of them, into its data."""
    kind = array.type
    is_large = pa.types.is_large_list(kind) or pa.types.is_large_binary(kind) or pa.types.is_large_string(kind)
    dtype = np.dtype(np.int64 if is_large else np.int32)
    if not len(array):
        return np.zeros(1, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array) + 1, array.offset * dtype.itemsize)


def _share(array: pa.Array) -> torch.Tensor:
    """A tensor in the memory of an array of numbers without nulls."""
    return from_dlpack(array)
