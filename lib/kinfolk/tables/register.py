"""The lake's tables by name: in a Spark session, and in any engine that reads Delta by location."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinfolk.errors import SettingsError
from kinfolk.tables.catalog import CATALOG
from kinfolk.tables.contract import Table, quote_sql
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def register_tables(spark: SparkSession, root: str) -> list[str]:
    """Make every table that stands in the lake a temporary view of its name; return the names.

    A view reads the newest version whenever it is queried. The session needs Delta's extension and catalog, and no
    metastore. Tables made later are registered by a second call.
    """
    from delta.tables import DeltaTable

    lake = Lake(root)
    standing = [table for table in CATALOG.values() if DeltaTable.isDeltaTable(spark, _location(lake, table))]
    for table in standing:
        location = _location(lake, table).replace("`", "``")
        spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW `{table.name}` AS SELECT * FROM delta.`{location}`")
    return [table.name for table in standing]


def tables_sql(root: str) -> str:
    """SQL that makes every table that stands in the lake known by name where Delta tables are read by location."""
    lake = Lake(root)
    statements = [
        f"-- {table.meaning}\nCREATE TABLE IF NOT EXISTS {table.name} USING DELTA LOCATION "
        f"{quote_sql(_location(lake, table))};\n"
        for table in CATALOG.values()
        if lake.exists(table)
    ]
    return "\n".join(statements)


def _location(lake: Lake, table: Table) -> str:
    location = lake.path(table.name)
    if not location.isprintable():
        raise SettingsError(f"the lake's path {lake.root!r} has characters that SQL cannot carry; give it a plain path")
    return location
