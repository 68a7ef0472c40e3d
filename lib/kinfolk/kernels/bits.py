"""Instructions on the bits of a word that kernels share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from kinfolk.kernels.compiling import Whole, inlined, instruction


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

LANES = 8
"""Words that are read at once: rows of bits have a multiple of them."""

_WORD = ir.IntType(64)
_WORDS = ir.VectorType(_WORD, LANES)


@inlined
def count_words(bits: Whole) -> Whole:
    """Words of a row that has room for so many bits."""
    return (bits + 64 * LANES - 1) // (64 * LANES) * LANES


@instruction
def intersect_rows(_typing_context: Any, bits: Any, one: Any, other: Any, to: Any, words: Any) -> Any:
    """Write the bits that two rows of words have in common to a third one, which may be the first; returns how many.

    Rows of an array of words are given by where they begin, and how many words each has, a multiple of `LANES`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, *counts = _open_rows(context, builder, signature, arguments)
        one, other, to, words = counts
        total = _count_from_zero(builder)
        with _each_words(builder, words) as (word, _):
            left, right = (_load_words(builder, base, builder.add(row, word)) for row in (one, other))
            both = builder.and_(left, right)
            builder.store(both, _point(builder, base, builder.add(to, word)), align=8)
            builder.store(builder.add(builder.load(total), _call(builder, "ctpop", _WORDS, both)), total)
        return _call(builder, "vector.reduce.add", _WORD, builder.load(total))

    return types.int64(bits, one, other, to, words), generate


@instruction
def count_row(_typing_context: Any, bits: Any, row: Any, words: Any) -> Any:
    """How many bits of a row of words are set; see `intersect_rows`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, row, words = _open_rows(context, builder, signature, arguments)
        total = _count_from_zero(builder)
        with _each_words(builder, words) as (word, _):
            some = _load_words(builder, base, builder.add(row, word))
            builder.store(builder.add(builder.load(total), _call(builder, "ctpop", _WORDS, some)), total)
        return _call(builder, "vector.reduce.add", _WORD, builder.load(total))

    return types.int64(bits, row, words), generate


def _open_rows(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """Where the elements of arrays lie, and the other arguments as 64-bit integers."""

    def read(of: Any, value: Any) -> Any:
        if isinstance(of, types.Array):
            return context.make_array(of)(context, builder, value).data
        return context.cast(builder, value, of, types.int64)

    return [read(of, value) for of, value in zip(signature.args, arguments, strict=True)]


def _count_from_zero(builder: Any) -> Any:
    """Where counts of so many words are kept, one for each."""
    return cgutils.alloca_once_value(builder, ir.Constant(_WORDS, [0] * LANES))  # type: ignore[no-untyped-call]


def _each_words(builder: Any, words: Any) -> Any:
    """A loop over every so many words."""
    first, step = ir.Constant(_WORD, 0), ir.Constant(_WORD, LANES)
    return cgutils.for_range_slice(builder, first, words, step)


def _point(builder: Any, base: Any, word: Any) -> Any:
    return builder.bitcast(builder.gep(base, [word]), _WORDS.as_pointer())


def _load_words(builder: Any, base: Any, word: Any) -> Any:
    return builder.load(_point(builder, base, word), align=8, typ=_WORDS)


def _call(builder: Any, name: str, returned: Any, argument: Any) -> Any:
    """Call an intrinsic function of LLVM on a vector of words."""
    function = _declare(builder, f"llvm.{name}.v{LANES}i64", ir.FunctionType(returned, [_WORDS]))
    return builder.call(function, [argument])


def _declare(builder: Any, name: str, kind: Any) -> Any:
    return cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]


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


OCTET = 8
"""Bits that are looked up at once."""


@instruction
def gather_bits(_typing_context: Any, bits: Any, row: Any, numbers: Any, place: Any) -> Any:
    """The bits with `OCTET` numbers, from a place of an array on, of a row of words that begins at a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, row, listed, place = _open_rows(context, builder, signature, arguments)
        begin = builder.add(builder.ptrtoint(data, _WORD), builder.shl(row, ir.Constant(_WORD, 3)))
        pointers, flags = ir.VectorType(_WORD.as_pointer(), OCTET), ir.VectorType(ir.IntType(1), OCTET)
        kind = ir.FunctionType(_WORDS, [pointers, ir.IntType(32), flags, _WORDS])
        gather = _declare(builder, f"llvm.masked.gather.v{OCTET}i64.v{OCTET}p0i64", kind)
        some = _load_words(builder, listed, place)
        offsets = builder.shl(builder.lshr(some, _same(6)), _same(3))
        addresses = builder.inttoptr(builder.add(_spread(builder, begin), offsets), pointers)
        every, nothing = ir.Constant(flags, [1] * OCTET), ir.Constant(_WORDS, [0] * OCTET)
        words = builder.call(gather, [addresses, ir.Constant(ir.IntType(32), 8), every, nothing])
        bit = builder.shl(_same(1), builder.and_(some, _same(63)))
        return builder.bitcast(builder.icmp_unsigned("!=", builder.and_(words, bit), nothing), ir.IntType(OCTET))

    return types.uint8(bits, row, numbers, place), generate


def _same(value: int) -> Any:
    return ir.Constant(_WORDS, [value] * LANES)


def _spread(builder: Any, word: Any) -> Any:
    """A word, so many times."""
    single = builder.insert_element(ir.Constant(_WORDS, ir.Undefined), word, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(single, single, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


@instruction
def prefetch(_typing_context: Any, array: Any, place: Any) -> Any:
    """Ask for an element of an array that will be read soon; any place will do, also one outside of it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, place = _open_rows(context, builder, signature, arguments)
        octet, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [octet, number, number, number])
        function = _declare(builder, "llvm.prefetch.p0i8", kind)
        pointer = builder.bitcast(builder.gep(data, [place]), octet)
        # For reading, into the nearest cache, as data.
        builder.call(function, [pointer, *(ir.Constant(number, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, place), generate
