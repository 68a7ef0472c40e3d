"""Arrow arrays as tensors: the same values as the slow way, in the same memory where that is possible."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinfolk.errors import DataError
from kinfolk.tensors import (
    ITEM_COLUMNS,
    NO_CODE,
    item_tensors,
    matrix,
    numbers,
    pictures,
    presence,
    ragged,
    string_codes,
)

SIDE = 2
PICTURES = st.lists(st.none() | st.binary(min_size=12, max_size=12), max_size=12)
TOKENS = st.lists(st.none() | st.lists(st.integers(0, 2**31 - 1), max_size=6), max_size=12)


def slices(array: pa.Array) -> list[pa.Array | pa.ChunkedArray]:
    """The same kind of array whole, begun in its middle, and in chunks."""
    middle = len(array) // 2
    return [array, array.slice(middle), array.slice(1, middle), pa.chunked_array([array[:middle], array[middle:]])]


@given(PICTURES)
def test_pictures_equal_their_bytes(rows):
    for array in slices(pa.array(rows, pa.binary())):
        converted = pictures(array, height=SIDE, width=SIDE)
        assert converted.values_BHW3.shape == (len(array), SIDE, SIDE, 3)
        for row, (value, is_present) in enumerate(zip(array.to_pylist(), converted.is_present_B.tolist(), strict=True)):
            assert is_present == (value is not None)
            assert bytes(converted.values_BHW3[row].flatten().tolist()) == (value or bytes(12))


@given(TOKENS)
def test_ragged_lists_equal_their_lists(rows):
    for array in slices(pa.array(rows, pa.list_(pa.int32()))):
        converted = ragged(array)
        offsets = converted.offsets_B1.tolist()
        assert converted.values_T.dtype == torch.int32
        assert converted.offsets_B1.dtype == torch.int64
        assert (offsets[0], offsets[-1], len(offsets)) == (0, len(converted.values_T), len(array) + 1)
        for row, value in enumerate(array.to_pylist()):
            assert converted.values_T[offsets[row] : offsets[row + 1]].tolist() == (value or [])
            assert bool(converted.is_present_B[row]) == (value is not None)


@given(st.lists(st.none() | st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3), min_size=1))
def test_matrices_equal_their_rows(rows):
    array = pa.array([[0.5, 1, 2], *rows], pa.list_(pa.float32()))
    converted = matrix(array)
    for row, value in enumerate(array.to_pylist()):
        assert converted.values_BD[row].tolist() == (value or [0, 0, 0])
        assert bool(converted.is_present_B[row]) == (value is not None)


@given(st.lists(st.none() | st.text(max_size=4)))
def test_codes_are_the_hash_of_the_string_wherever_it_stands(rows):
    def code(text: str | None) -> int:
        return NO_CODE if text is None else int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) // 2

    for array in slices(pa.array(rows, pa.string())):
        assert string_codes(array).tolist() == [code(text) for text in array.to_pylist()]


def test_arrays_without_nulls_keep_their_memory():
    image = pa.array([bytes(range(12)), bytes(12)], pa.binary())
    assert pictures(image, height=SIDE, width=SIDE).values_BHW3.data_ptr() == image.buffers()[2].address
    tokens = pa.array([[1, 2], [3], []], pa.list_(pa.int32()))
    assert ragged(tokens).values_T.data_ptr() == tokens.values.buffers()[1].address
    assert ragged(tokens[1:]).values_T.data_ptr() == tokens.values.buffers()[1].address + 2 * 4
    vectors = pa.array([[1.0, 2.0]] * 3, pa.list_(pa.float32()))
    assert matrix(vectors).values_BD.data_ptr() == vectors.values.buffers()[1].address


def test_tensors_outlive_their_arrays():
    values = numbers(pa.array(np.arange(1000)))
    assert values.tolist() == list(range(1000))


def test_what_lies_under_a_null_does_not_count():
    hidden = pa.ListArray.from_arrays(
        pa.array([0, 2, 5, 6], pa.int32()), pa.array(range(6), pa.int32()), mask=pa.array([False, True, False])
    )
    converted = ragged(hidden)
    assert converted.values_T.tolist() == [0, 1, 5]
    assert converted.offsets_B1.tolist() == [0, 2, 2, 3]


def test_large_and_fixed_size_arrays_are_read_as_well():
    content = [bytes(range(12)), None, bytes(12)]
    for kind in (pa.large_binary(), pa.binary(12)):
        converted = pictures(pa.array(content, kind)[1:], height=SIDE, width=SIDE)
        assert converted.is_present_B.tolist() == [False, True]
    assert ragged(pa.array([[1], [2, 3]], pa.large_list(pa.int64()))).values_T.tolist() == [1, 2, 3]


def test_wrong_sizes_and_nulls_are_named():
    with pytest.raises(DataError, match=r"a picture has 3 bytes, where 2 x 2 x 3 = 12"):
        pictures(pa.array([bytes(12), bytes(3)]), height=SIDE, width=SIDE)
    with pytest.raises(DataError, match=r"lengths \[1, 2\]"):
        matrix(pa.array([[1.0], [1.0, 2.0]]))
    with pytest.raises(DataError, match="1 of 2 values are null"):
        numbers(pa.array([1, None]))


def test_items_come_with_everything_a_trainer_needs():
    table = pa.table(
        {
            "item_id": ["a", None],
            "subject_id": ["s", None],
            "source": ["x", None],
            "image": pa.array([bytes(12), None], pa.binary()),
            "text_tokens": pa.array([[4, 5], None], pa.list_(pa.int32())),
        }
    )
    assert tuple(table.column_names) == ITEM_COLUMNS
    items = item_tensors(table, image_size=SIDE)
    assert items.item_ids == ["a", None]
    assert items.sources == ["x", None]
    assert items.subjects_B[0] >= 0
    assert items.subjects_B[1] == NO_CODE
    assert items.images.is_present_B.tolist() == items.texts.is_present_B.tolist() == [True, False]
    assert presence(table.column("image")).tolist() == [True, False]
