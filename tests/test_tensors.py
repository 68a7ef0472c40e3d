"""Arrow arrays as tensors: the same values as the slow way, in the same memory where that is possible."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.errors import DataError
from kinfolk.tensors import (
    NO_CODE,
    codes,
    hash_integers,
    hash_string,
    numbers,
    pictures,
    presence,
    ragged,
    strings,
    vectors,
)

SIDE = 2
FLOATS = st.floats(width=32, allow_nan=False)
PICTURES = st.lists(st.none() | st.binary(min_size=12, max_size=12), max_size=12)
TOKENS = st.lists(st.none() | st.lists(st.integers(0, 2**31 - 1), max_size=6), max_size=12)
VECTORS = st.lists(st.none() | st.lists(FLOATS, min_size=3, max_size=3), max_size=12)
TEXTS = st.lists(st.none() | st.text(max_size=4), max_size=12)
KINDS = {
    pa.int8(): torch.int8,
    pa.uint8(): torch.uint8,
    pa.int32(): torch.int32,
    pa.int64(): torch.int64,
    pa.uint64(): torch.uint64,
    pa.float16(): torch.float16,
    pa.float32(): torch.float32,
    pa.float64(): torch.float64,
}
quick = settings(max_examples=50)


def slices(array: pa.Array) -> list[pa.Array | pa.ChunkedArray]:
    """The same kind of array whole, begun in its middle, and in chunks."""
    middle = len(array) // 2
    chunks = pa.chunked_array([array[:middle], array[middle:]])
    return [array, array.slice(middle), array.slice(1, middle), chunks, chunks.slice(1)]


def valid(array: pa.Array | pa.ChunkedArray) -> list[bool]:
    return [value is not None for value in array.to_pylist()]


@quick
@given(
    st.lists(st.none() | st.integers(0, 127), max_size=12),
    st.sampled_from(sorted(KINDS, key=str)),
)
def test_numbers_equal_their_rows_with_zeros_for_nulls(rows, kind):
    for array in slices(pa.array(rows, kind)):
        converted = numbers(array)
        assert converted.values_B.dtype == KINDS[kind]
        assert converted.values_B.tolist() == [value or 0 for value in array.to_pylist()]
        assert converted.is_present_B.tolist() == valid(array)


@quick
@given(st.lists(st.none() | st.booleans(), max_size=20))
def test_booleans_stay_booleans(rows):
    for array in slices(pa.array(rows, pa.bool_())):
        converted = numbers(array)
        assert converted.values_B.dtype == torch.bool
        assert converted.values_B.tolist() == [bool(value) for value in array.to_pylist()]
        assert converted.is_present_B.tolist() == valid(array)


@quick
@given(st.lists(st.none() | FLOATS, max_size=12), st.sampled_from([torch.bfloat16, torch.float64, torch.float32]))
def test_numbers_come_in_the_type_that_is_asked_for(rows, dtype):
    for array in slices(pa.array(rows, pa.float32())):
        converted = numbers(array, dtype=dtype)
        expected = torch.tensor([value or 0.0 for value in array.to_pylist()], dtype=torch.float32).to(dtype)
        assert converted.values_B.dtype == dtype
        assert torch.equal(converted.values_B, expected)


@quick
@given(VECTORS, st.sampled_from([pa.list_(pa.float32()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 3)]))
def test_vectors_equal_their_rows_with_zeros_for_nulls(rows, kind):
    for array in slices(pa.array(rows, kind)):
        converted = vectors(array, size=3)
        assert converted.values_B.shape == (len(array), 3)
        assert converted.values_B.tolist() == [value or [0, 0, 0] for value in array.to_pylist()]
        assert converted.is_present_B.tolist() == valid(array)


def test_vectors_know_their_own_length_and_come_in_the_type_that_is_asked_for():
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float32(), 2)):
        converted = vectors(pa.array([None, [1.0, 2.0], [3.0, 4.0]], kind), dtype=torch.bfloat16)
        assert converted.values_B.dtype == torch.bfloat16
        assert converted.values_B.tolist() == [[0, 0], [1, 2], [3, 4]]


def test_vectors_that_are_all_null_need_a_size():
    nothing = pa.array([None, None], pa.list_(pa.float32()))
    with pytest.raises(DataError, match="none of 2 vectors is there to say how long"):
        vectors(nothing)
    converted = vectors(nothing, size=3)
    assert converted.values_B.tolist() == [[0, 0, 0]] * 2
    assert converted.is_present_B.tolist() == [False, False]
    assert vectors(pa.array([None], pa.list_(pa.float32(), 3))).values_B.tolist() == [[0, 0, 0]]


@quick
@given(PICTURES, st.sampled_from([pa.binary(), pa.large_binary(), pa.binary(12)]))
def test_pictures_equal_their_bytes(rows, kind):
    for array in slices(pa.array(rows, kind)):
        converted = pictures(array, height=SIDE, width=SIDE)
        assert converted.values_B.shape == (len(array), SIDE, SIDE, 3)
        assert converted.values_B.dtype == torch.uint8
        assert [bytes(row.flatten().tolist()) for row in converted.values_B] == [
            value or bytes(12) for value in array.to_pylist()
        ]
        assert converted.is_present_B.tolist() == valid(array)


def test_pictures_have_rows_before_columns_before_channels():
    converted = pictures(pa.array([bytes(range(18))]), height=3, width=2)
    assert converted.values_B.tolist() == [
        [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]], [[12, 13, 14], [15, 16, 17]]]
    ]


@quick
@given(TOKENS, st.sampled_from([pa.list_, pa.large_list]))
def test_ragged_lists_equal_their_lists(rows, kind):
    for array in slices(pa.array(rows, kind(pa.int32()))):
        converted = ragged(array)
        offsets = converted.offsets_B1.tolist()
        assert converted.values_T.dtype == torch.int32
        assert converted.offsets_B1.dtype == torch.int64
        assert (offsets[0], offsets[-1], len(offsets)) == (0, len(converted.values_T), len(array) + 1)
        for row, value in enumerate(array.to_pylist()):
            assert converted.values_T[offsets[row] : offsets[row + 1]].tolist() == (value or [])
        assert converted.is_present_B.tolist() == valid(array)


@quick
@given(TEXTS, st.sampled_from([pa.string(), pa.large_string()]))
def test_strings_come_back_from_their_bytes(rows, kind):
    for array in slices(pa.array(rows, kind)):
        converted = strings(array)
        assert converted.values_T.dtype == torch.uint8
        assert bytes(converted.values_T.tolist()) == "".join(value or "" for value in array.to_pylist()).encode()
        assert converted.offsets_B1[0] == 0
        assert converted.to_strings() == array.to_pylist()


def test_binary_values_come_as_their_bytes():
    for kind in (pa.binary(), pa.large_binary()):
        converted = strings(pa.array([b"skipped", b"\xff\x00", None, b"", b"\x01"], kind)[1:])
        assert converted.values_T.tolist() == [255, 0, 1]
        assert converted.offsets_B1.tolist() == [0, 2, 2, 2, 3]
        assert converted.is_present_B.tolist() == [True, False, True, True]


@quick
@given(TEXTS, st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]))
def test_codes_are_the_hash_of_the_string_wherever_it_stands(rows, kind):
    def code(text: str | None) -> int:
        return NO_CODE if text is None else int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) // 2

    for array in slices(pa.array(rows, kind)):
        converted = codes(array)
        assert converted.values_B.dtype == torch.int64
        assert converted.values_B.tolist() == [code(text) for text in array.to_pylist()]
        assert converted.is_present_B.tolist() == valid(array)


@quick
@given(st.lists(st.none() | st.integers(-128, 127), max_size=20))
def test_codes_of_integers_are_equal_where_the_integers_are(rows):
    for array in slices(pa.array(rows, pa.int8())):
        coded = codes(array).values_B.tolist()
        assert coded == codes(array.cast(pa.int64())).values_B.tolist()
        pairs = set(zip(array.to_pylist(), coded, strict=True))
        assert len(pairs) == len({code for _, code in pairs}) == len(set(array.to_pylist()))
        assert all((code == NO_CODE) if value is None else (code >= 0) for value, code in pairs)


def test_codes_of_large_integers_are_theirs():
    values = [2**63 - 1, -(2**63), 0, -1]
    expected = [int(mixed) // 2 for mixed in hash_integers(np.array(values, dtype=np.int64))]
    assert codes(pa.array(values, pa.int64())).values_B.tolist() == expected


def test_integers_are_hashed_as_splitmix64_says():
    # The first numbers of the reference generator with seed 0, whose state grows by the golden gamma.
    states = np.array([n * 0x9E3779B97F4A7C15 % 2**64 for n in range(3)], dtype=np.uint64)
    assert hash_integers(states).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_hashes_of_integers_are_scattered():
    bits = np.unpackbits(hash_integers(np.arange(4096)).view(np.uint8)).reshape(4096, 64)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.05


def test_a_string_is_hashed_by_sha256():
    # SHA-256 of the empty string begins with e3b0c44298fc1c14.
    assert hash_string("") == 0xE3B0C44298FC1C14 >> 1
    assert hash_string("é") == int(hashlib.sha256(b"\xc3\xa9").hexdigest()[:16], 16) >> 1


@quick
@given(TEXTS)
def test_presence_says_which_rows_are_not_null(rows):
    for array in slices(pa.array(rows, pa.string())):
        converted = presence(array)
        assert converted.values_B.dtype == torch.bool
        assert converted.values_B.tolist() == valid(array)
        assert converted.is_present_B.tolist() == [True] * len(array)


def test_arrays_without_nulls_keep_their_memory():
    counts = pa.array([1, 2, 3], pa.int64())
    assert numbers(counts[1:]).values_B.data_ptr() == counts.buffers()[1].address + 8
    image = pa.array([bytes(range(12)), bytes(12)], pa.binary())
    assert pictures(image, height=SIDE, width=SIDE).values_B.data_ptr() == image.buffers()[2].address
    assert pictures(image[1:], height=SIDE, width=SIDE).values_B.data_ptr() == image.buffers()[2].address + 12
    fixed = image.cast(pa.binary(12))
    assert pictures(fixed[1:], height=SIDE, width=SIDE).values_B.data_ptr() == fixed.buffers()[1].address + 12
    tokens = pa.array([[1, 2], [3], []], pa.list_(pa.int32()))
    assert ragged(tokens).values_T.data_ptr() == tokens.values.buffers()[1].address
    assert ragged(tokens[1:]).values_T.data_ptr() == tokens.values.buffers()[1].address + 2 * 4
    text = pa.array(["ab", "c"])
    assert strings(text[1:]).values_T.data_ptr() == text.buffers()[2].address + 2
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float32(), 2)):
        points = pa.array([[1.0, 2.0]] * 3, kind)
        assert vectors(points).values_B.data_ptr() == points.values.buffers()[1].address
        assert vectors(points[1:]).values_B.data_ptr() == points.values.buffers()[1].address + 2 * 4


def test_a_single_chunk_keeps_its_memory():
    counts = pa.array([1, 2, 3], pa.int64())
    assert numbers(pa.chunked_array([counts])).values_B.data_ptr() == counts.buffers()[1].address


def test_tensors_outlive_their_arrays():
    values = numbers(pa.array(np.arange(1000))).values_B
    assert values.tolist() == list(range(1000))


def test_what_lies_under_a_null_does_not_count():
    offsets, mask = pa.array([0, 2, 5, 6], pa.int32()), pa.array([False, True, False])
    converted = ragged(pa.ListArray.from_arrays(offsets, pa.array(range(6), pa.int32()), mask=mask))
    assert converted.values_T.tolist() == [0, 1, 5]
    assert converted.offsets_B1.tolist() == [0, 2, 2, 3]
    even = pa.array([0, 2, 4, 6], pa.int32())
    hidden = pa.ListArray.from_arrays(even, pa.array([0, 1, None, 3, 4, 5], pa.int32()), mask=mask)
    assert vectors(hidden).values_B.tolist() == [[0, 1], [0, 0], [4, 5]]


@pytest.mark.parametrize("convert", [vectors, ragged])
def test_a_null_inside_a_list_is_refused(convert):
    with pytest.raises(DataError, match="1 of 4 values in lists are null"):
        convert(pa.array([[1, 2], [3, None]]))
    assert convert(pa.array([[1, 2], [3, None]])[:1]).is_present_B.tolist() == [True]


def test_a_null_inside_a_list_of_fixed_size_is_refused():
    with pytest.raises(DataError, match="1 of 4 values in lists are null"):
        vectors(pa.array([[1, 2], None, [3, None]], pa.list_(pa.int32(), 2)))


def test_wrong_sizes_are_named():
    with pytest.raises(DataError, match=r"a picture has 3 bytes, where 2 x 2 x 3 = 12"):
        pictures(pa.array([bytes(12), bytes(3)]), height=SIDE, width=SIDE)
    with pytest.raises(DataError, match=r"a picture has 11 bytes, where 2 x 2 x 3 = 12"):
        pictures(pa.array([bytes(11)], pa.binary(11)), height=SIDE, width=SIDE)
    with pytest.raises(DataError, match=r"lengths \[1, 2\]"):
        vectors(pa.array([[1.0], [1.0, 2.0]]))
    with pytest.raises(DataError, match=r"vectors of 3 coordinates are expected; 2 rows have the lengths \[2\]"):
        vectors(pa.array([[1.0, 2.0], [1.0, 2.0]]), size=3)


@pytest.mark.parametrize("make", [lambda kind: pa.array([], kind), lambda kind: pa.chunked_array([], kind)])
def test_empty_arrays_become_empty_tensors(make):
    assert numbers(make(pa.float32())).values_B.shape == (0,)
    assert numbers(make(pa.bool_())).values_B.shape == (0,)
    assert vectors(make(pa.list_(pa.float32())), size=3).values_B.shape == (0, 3)
    assert vectors(make(pa.list_(pa.float32(), 3))).values_B.shape == (0, 3)
    assert pictures(make(pa.binary()), height=SIDE, width=SIDE).values_B.shape == (0, SIDE, SIDE, 3)
    assert codes(make(pa.string())).values_B.shape == codes(make(pa.int32())).values_B.shape == (0,)
    assert presence(make(pa.string())).values_B.shape == (0,)
    for column in (ragged(make(pa.list_(pa.int32()))), strings(make(pa.string()))):
        assert column.values_T.shape == (0,)
        assert column.offsets_B1.tolist() == [0]
    assert strings(make(pa.string())).to_strings() == []
