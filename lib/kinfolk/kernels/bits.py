"""Instructions on the bits of a word that kernels share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from kinfolk.kernels.compiling import instruction


@instruction
def count_bits(_typing_context: Any, _word: Any) -> Any:
    """How many bits of a 64-bit integer are set."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@instruction
def trailing_zeros(_typing_context: Any, _word: Any) -> Any:
    """How many of the lowest bits of a 64-bit integer are 0; 64 where all are."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.false_bit)

    return types.uint64(types.uint64), generate


Typed = tuple[Any, Any]
"""An argument of an instruction, after its type."""


def load_from(context: Any, builder: Any, array: Typed, places: Sequence[Typed], loaded: ir.Type) -> Any:
    """Load a word or vector that begins at an element of an array.

    It need not be aligned beyond that element.
    """
    array_type, value = array
    indices = [context.cast(builder, place, of, types.intp) for of, place in places]
    made = context.make_array(array_type)(context, builder, value)
    pointer = cgutils.get_item_pointer(context, builder, array_type, made, indices)  # type: ignore[no-untyped-call]
    align = array_type.dtype.bitwidth // 8
    return builder.load(builder.bitcast(pointer, loaded.as_pointer()), align=align, typ=loaded)
