import re

import pytest

from kinfolk.settings.document import document_settings
from kinfolk.settings.tree import Settings
from kinfolk.tables.catalog import CATALOG, SIMILAR_PAIRS
from kinfolk.tables.contract import Column, Table, mismatches
from kinfolk.tables.document import document_tables


@pytest.mark.parametrize("table", CATALOG.values(), ids=list(CATALOG))
def test_keys_come_before_arrays_and_are_never_null(table: Table) -> None:
    names = table.column_names
    first_array = next((i for i, c in enumerate(table.columns) if c.type.startswith("array")), len(names))
    assert all(names.index(key) < first_array for key in table.key)
    assert not [c.name for c in table.columns if c.name in table.key and c.nullable]


@pytest.mark.parametrize("table", CATALOG.values(), ids=list(CATALOG))
def test_arrow_schema_has_every_column_in_order(table: Table) -> None:
    schema = table.arrow_schema()
    assert schema.names == table.column_names
    assert [schema.field(c.name).nullable for c in table.columns] == [c.nullable for c in table.columns]


def test_every_mismatch_is_reported_at_once() -> None:
    actual = {"left_id": "string", "similarity": "float", "extra": "int", "run_id": "string", "updated_at": "timestamp"}
    problems = mismatches(SIMILAR_PAIRS, actual)
    assert len(problems) == 3
    assert any(re.search("right_id.*missing", p) for p in problems)
    assert any("extra" in p and "not in the contract" in p for p in problems)
    assert any("similarity is float, the contract says double" in p for p in problems)


def test_a_contract_that_names_an_unknown_column_is_refused() -> None:
    with pytest.raises(ValueError, match="nosuch"):
        Table("t", "meaning", (Column("a", "int", "a"),), key=("nosuch",))


def test_the_generated_pages_name_every_column_and_setting() -> None:
    tables = document_tables()
    assert all(f"`{c.name}`" in tables for table in CATALOG.values() for c in table.columns)
    settings = document_settings()
    for section in Settings.model_fields.values():
        assert section.annotation is not None
        for name, field in section.annotation.model_fields.items():
            assert f"`{name}`" in settings
            assert field.description, f"{name} has no docstring"
