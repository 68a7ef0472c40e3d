"""Where texts lie in memory: kernels read them in the buffers that they came in.

Fresh memory for a copy of all texts takes as long as joining them. Only those are copied that lie so near the end of
their buffer that kernels, which read up to `SLACK` bytes further, would leave it.

Shape suffixes: N items, X bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kinfolk.kernels.compiling import kernel

SLACK = 64
"""Bytes behind the end of a text that kernels may read as well."""


class Texts(NamedTuple):
    """Texts in UTF-8: where each one begins and ends in `text_X`, of which nothing else is to be read."""

    text_X: NDArray[np.uint8]
    start_N: NDArray[np.int64]
    stop_N: NDArray[np.int64]


class _Span:
    """The memory from the first to the last of some buffers, which it keeps alive, as one array of bytes.

    What lies between the buffers belongs to others or to nobody.
    """

    def __init__(self, buffers: list[pa.Buffer]) -> None:
        self._buffers = buffers
        self.first = min(buffer.address for buffer in buffers)
        size = max(buffer.address + buffer.size for buffer in buffers) - self.first
        # Said to be writable, as other arrays are: kernels are compiled anew for those that are not.
        self.__array_interface__ = {"data": (self.first, False), "shape": (size,), "typestr": "|u1", "version": 3}


def locate_texts(strings: pa.ChunkedArray) -> Texts:
    """Find where strings lie; a null lies anywhere among them."""
    parts, copied = [], bytearray()
    for chunk in strings.chunks:
        if not len(chunk):
            continue
        wide = chunk.cast(pa.large_string())
        _, offsets, octets = wide.buffers()
        offset_N = np.frombuffer(offsets, np.int64)[wide.offset : wide.offset + len(wide) + 1]
        first_copied = np.searchsorted(offset_N[1:], octets.size - SLACK, side="right")
        parts.append((octets, offset_N, first_copied, len(copied) - offset_N[first_copied]))
        copied += memoryview(octets)[offset_N[first_copied] : offset_N[-1]]
    rest = pa.py_buffer(bytes(copied) + bytes(SLACK))
    span = _Span([rest, *(octets for octets, *_ in parts)])
    starts, stops = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for octets, offset_N, first_copied, shift in parts:
        place_N = np.full(len(offset_N) - 1, octets.address - span.first)
        place_N[first_copied:] = rest.address + shift - span.first
        starts.append(place_N + offset_N[:-1])
        stops.append(place_N + offset_N[1:])
    return Texts(np.asarray(span), np.concatenate(starts), np.concatenate(stops))


def gather_texts(texts: Texts) -> Texts:
    """The same texts one after the other, in memory of their own."""
    ends_N = np.concatenate([[0], np.cumsum(texts.stop_N - texts.start_N)])
    text_X = np.zeros(ends_N[-1] + SLACK, np.uint8)
    _copy(texts, ends_N, text_X)
    return Texts(text_X, ends_N[:-1].copy(), ends_N[1:].copy())


@kernel
def _copy(texts: Texts, place_N: NDArray[np.int64], text_X: NDArray[np.uint8]) -> None:
    for n in range(len(texts.start_N)):
        start = texts.start_N[n]
        for x in range(texts.stop_N[n] - start):
            text_X[place_N[n] + x] = texts.text_X[start + x]
