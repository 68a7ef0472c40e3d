"""The best neighbours so far of every row, which several threads add to.

Each row has a binary heap with the least of its neighbours at the root, so that a better one takes the root's place in
log K steps. A neighbour is one 64-bit key that orders as neighbours do, by score first and the lower code next: the
bits of the score, made to order as integers do, above the complement of the code. An empty place is 0, below all keys,
so that the system gives memory only to rows that are used. Rows are locked one by one while they change. `floor_N`,
the score that a neighbour has to exceed, is read without a lock; it only rises, so an old value lets a few more
through, never fewer.

Shape suffixes: N rows, D coordinates, K places for neighbours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numpy.typing import NDArray

from kinfolk.kernels.compiling import Whole, instruction, kernel

_CODE_BITS = 31
_LOW = (1 << _CODE_BITS) - 1
_WORD = ir.IntType(8)


class Heaps(NamedTuple):
    """Keys of the best neighbours so far, the score that a further one has to exceed, and a lock, of each row."""

    key_NK: NDArray[np.int64]
    floor_N: NDArray[np.float32]
    lock_N: NDArray[np.uint8]


def make_heaps(rows: int, places: int) -> Heaps:
    """Empty heaps; where there are no places nothing is ever better than the floor."""
    floor = np.float32(-np.inf if places else np.inf)
    return Heaps(np.zeros((rows, places), np.int64), np.full(rows, floor, np.float32), np.zeros(rows, np.uint8))


def decode_codes(key_NK: NDArray[np.int64]) -> NDArray[np.int64]:
    """The codes of neighbours; -1 for places that are empty."""
    return np.where(key_NK == 0, -1, _LOW - (key_NK & _LOW))


@kernel
def _encode(score: float, code: Whole) -> Whole:
    """The key of a neighbour with this score."""
    bits = np.int64(np.float32(score).view(np.int32))
    # Of negative numbers the greater has the smaller bits.
    ordered = bits + 0x80000000 if bits >= 0 else -1 - bits
    return (ordered << _CODE_BITS) | (_LOW - np.int64(code))


@kernel
def _decode_score(key: Whole) -> np.float32:
    """The score of a key; -inf where it is empty."""
    if key == 0:
        return np.float32(-np.inf)
    ordered = key >> _CODE_BITS
    bits = ordered - 0x80000000 if ordered >= 0x80000000 else -1 - ordered
    return np.int32(bits).view(np.float32)


@kernel
def offer(heaps: Heaps, row: Whole, neighbor: Whole, score: float) -> None:
    """Put a neighbour into the heap of a row, unless it is there or others have become better meanwhile."""
    key_NK, floor_N, lock_N = heaps
    places = key_NK.shape[1]
    key = _encode(score, neighbor)
    while not _lock(lock_N, row):
        pass
    if key > key_NK[row, 0]:
        times = 0
        for k in range(places):
            times += (key_NK[row, k] ^ key) & _LOW == 0 and key_NK[row, k] != 0
        if times == 0:
            k = 0
            while 2 * k + 1 < places:
                child = 2 * k + 1
                if child + 1 < places and key_NK[row, child + 1] < key_NK[row, child]:
                    child += 1
                if key_NK[row, child] >= key:
                    break
                key_NK[row, k] = key_NK[row, child]
                k = child
            key_NK[row, k] = key
            floor_N[row] = _decode_score(key_NK[row, 0])
    _unlock(lock_N, row)


@instruction
def _lock(_: Any, locks: Any, index: Any) -> Any:
    """Take a row's lock; False where another thread holds it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments)
        held = builder.cmpxchg(place, _WORD(0), _WORD(1), "acquire", "monotonic")
        return builder.extract_value(held, 1)

    return types.boolean(locks, index), generate


@instruction
def _unlock(_: Any, locks: Any, index: Any) -> Any:
    """Let go of a row's lock."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store_atomic(_WORD(0), _place(context, builder, signature, arguments), "release", 1)
        return context.get_dummy_value()

    return types.none(locks, index), generate


def _place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """The address of a row's lock."""
    locks_type, index_type = signature.args
    locks = context.make_array(locks_type)(context, builder, arguments[0])
    index = context.cast(builder, arguments[1], index_type, types.intp)
    return cgutils.get_item_pointer(context, builder, locks_type, locks, [index])  # type: ignore[no-untyped-call]
