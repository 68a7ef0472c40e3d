from __future__ import annotations

import pyarrow as pa
import pytest

from kinfolk.errors import DataError
from kinfolk.similarity.vectors.items import collapse_copies, read_vectors

NAN, INFINITY = float("nan"), float("inf")


def make_items(rows: dict[str, list[float | None] | None]) -> pa.Table:
    return pa.table({"item_id": pa.array(rows, pa.string()), "value": pa.array(rows.values(), pa.list_(pa.float32()))})


def test_what_cannot_be_compared_is_rejected_with_its_reason() -> None:
    rows = {
        "good": [1.0, 2.0],
        "also_good": [0.0, -1.0],
        "null": None,
        "empty": [],
        "long": [1.0, 2.0, 3.0],
        "nan": [1.0, NAN],
        "infinite": [INFINITY, 1.0],
        "hole": [1.0, None],
        "zero": [0.0, -0.0],
    }
    items, rejected = read_vectors(make_items(rows))
    assert items.ids.to_pylist() == ["also_good", "good"]
    assert items.vectors_ND.tolist() == [[0.0, -1.0], [1.0, 2.0]]
    assert dict(zip(rejected["item_id"].to_pylist(), rejected["reject_reason"].to_pylist(), strict=True)) == {
        "null": "missing_vector",
        "empty": "missing_vector",
        "long": "wrong_length",
        "nan": "not_finite",
        "infinite": "not_finite",
        "hole": "not_finite",
        "zero": "zero_vector",
    }


def test_the_commonest_length_is_the_right_one_and_the_shorter_of_two_as_common() -> None:
    most_are_long, _ = read_vectors(make_items({"a": [1.0], "b": [1.0, 2.0], "c": [2.0, 2.0]}))
    assert most_are_long.ids.to_pylist() == ["b", "c"]
    balanced, rejected = read_vectors(make_items({"a": [1.0, 2.0], "b": [1.0]}))
    assert balanced.ids.to_pylist() == ["b"]
    assert rejected["reject_detail"].to_pylist() == ["2 coordinates; most items have 1"]


def test_rows_in_many_chunks_and_slices_come_out_in_the_order_of_their_ids() -> None:
    parts = [make_items({f"{i:02d}": [float(i), 1.0] for i in range(start, start + 5)}) for start in (10, 0, 5)]
    items, _ = read_vectors(pa.concat_tables([part.slice(1, 3) for part in parts]))
    assert items.ids.to_pylist() == ["01", "02", "03", "06", "07", "08", "11", "12", "13"]
    assert items.vectors_ND[:, 0].tolist() == [1, 2, 3, 6, 7, 8, 11, 12, 13]


def test_an_id_that_comes_twice_is_refused() -> None:
    table = pa.concat_tables([make_items({"cup": [1.0]}), make_items({"cup": [2.0], "mug": [1.0]})])
    with pytest.raises(DataError, match=r"1 item ids come more than once, such as cup"):
        read_vectors(table)


def test_copies_are_represented_by_the_first_of_them() -> None:
    rows = {"d": [1.0, 2.0], "b": [0.0, 1.0], "a": [1.0, 2.0], "c": [-0.0, 1.0], "e": [1.0, 2.0], "f": [2.0, 4.0]}
    distinct, copies = collapse_copies(read_vectors(make_items(rows))[0])
    assert distinct.ids.to_pylist() == ["a", "b", "f"], "equal directions are no copies, equal vectors are"
    assert copies.to_pylist() == [
        {"item_id": "c", "representative_id": "b"},
        {"item_id": "d", "representative_id": "a"},
        {"item_id": "e", "representative_id": "a"},
    ]


def test_no_items_at_all() -> None:
    items, rejected = read_vectors(make_items({}))
    distinct, copies = collapse_copies(items)
    assert (len(distinct.ids), copies.num_rows, rejected.num_rows) == (0, 0, 0)
