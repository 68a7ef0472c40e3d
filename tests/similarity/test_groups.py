from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.similarity import groups
from kinfolk.similarity.oracle import find_groups

NAMES = st.integers(0, 30).map(lambda place: f"n{place:02d}")
EDGES = st.lists(st.tuples(NAMES, NAMES).filter(lambda edge: edge[0] != edge[1]), max_size=40)


def as_table(edges: list[tuple[str, str]]) -> pa.Table:
    firsts, seconds = [edge[0] for edge in edges], [edge[1] for edge in edges]
    return pa.table({"first": pa.array(firsts, pa.string()), "second": pa.array(seconds, pa.string())})


def as_mapping(table: pa.Table) -> dict[str, str]:
    return dict(zip(table["item_id"].to_pylist(), table["group_id"].to_pylist(), strict=True))


@settings(max_examples=200, deadline=None)
@given(EDGES, st.integers(1, 7), st.integers(1, 12))
def test_groups_are_the_connected_components(edges: list[tuple[str, str]], parts: int, at_a_time: int) -> None:
    """Also when each task first reduces its own edges, a few at a time."""
    expected = find_groups(edges)
    whole = groups.group_table(as_table(edges))
    assert as_mapping(whole) == expected
    sizes = dict(zip(whole["item_id"].to_pylist(), whole["group_size"].to_pylist(), strict=True))
    assert sizes == {item: list(expected.values()).count(group) for item, group in expected.items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "_EDGES_AT_A_TIME", at_a_time)
        reduced = [
            pa.Table.from_batches(
                groups._reduce_edges(iter(as_table(edges[part::parts]).to_batches(max_chunksize=3))), groups._SCHEMA
            )
            for part in range(parts)
        ]
    assert all(part.num_rows < 31 for part in reduced), "no more edges than items"
    assert as_mapping(groups.group_table(pa.concat_tables(reduced))) == expected
