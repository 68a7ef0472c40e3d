"""The page docs/tables.md, made from the contracts."""

from __future__ import annotations

from kinfolk.tables.catalog import CATALOG
from kinfolk.tables.contract import Table

_HEAD = """# Tables

Generated from the contracts by `make docs`; do not edit.

Each table is a Delta table in a folder of its own below the lake's root (`lake.root`). Columns marked *provenance* say
which run, source or model made a row and when it last changed; they do not count when two states of a table are
compared, so an equal result makes no commit.
Times are UTC. NOT NULL and checks are enforced by Delta, the key by the job that
writes the table.
"""


def document_tables() -> str:
    """The whole page, in the order in which the data goes."""
    return _HEAD + "".join(_document(table) for table in CATALOG.values())


def _document(table: Table) -> str:
    facts = [f"Key: {_code(table.key)}"]
    if table.partition_by:
        facts.append(f"partitioned by {_code(table.partition_by)}")
    if table.sort_by:
        facts.append(f"sorted by {_code(table.sort_by)}")
    if table.row_group_bytes:
        facts.append(f"row groups of {table.row_group_bytes >> 20} MiB")
    checks = [f"- check `{name}`: `{condition}`" for name, condition in table.checks.items()]
    rows = [
        f"| `{c.name}` | {c.type} | {'yes' if c.nullable else 'no'} | {c.meaning}"
        f"{' *(provenance)*' if c.role == 'provenance' else ''} |"
        for c in table.columns
    ]
    return "\n".join(
        [
            f"\n## {table.name}\n",
            f"{table.meaning}\n",
            f"{'; '.join(facts)}. Run date: {table.run_date_meaning}.\n",
            *([*checks, ""] if checks else []),
            "| column | type | null | meaning |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
