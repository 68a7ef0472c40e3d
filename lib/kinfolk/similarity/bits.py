"""Instructions on the bits of a word that kernels share."""

from __future__ import annotations

from typing import Any

from numba import types

from kinfolk.similarity.compiling import instruction


@instruction
def count_bits(_typing_context: Any, _word: Any) -> Any:
    """How many bits of a 64-bit integer are set."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate
