"""One row group of a plan, from its file to Arrow columns."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from kinfolk.errors import DataError
from kinfolk.feed.conditions import select_rows
from kinfolk.feed.snapshot import FeedPlan
from kinfolk.feed.table_files import TableFiles


class RowGroupReader:
    """Reads row groups of a plan; several threads may share one. Files stay open until `close`."""

    def __init__(self, plan: FeedPlan) -> None:
        self.plan = plan
        self._files = TableFiles(plan.root, plan.schema_json, plan.files)

    def read(self, row_group: int, columns: Sequence[str]) -> pa.Table:
        """The requested columns, with the types of the plan's schema.

        Raises DataError where other rows come than are planned.
        """
        group = self.plan.row_groups[row_group]
        conditions = self.plan.conditions if group.is_partial else ()
        wanted = list(dict.fromkeys([*columns, *(condition.column for condition in conditions)]))
        rows = self._files.read(group.file, group.ordinal, wanted)
        if conditions:
            rows = select_rows(rows, conditions).select(list(columns))
        if rows.num_rows != group.rows:
            raise DataError(f"{rows.num_rows} rows were read, {group.rows} are planned")
        return rows

    def close(self) -> None:
        """Close the files that nobody reads; the next `read` opens them again."""
        self._files.close()
