"""A result on its way into a table: computed once, measured, checked, and then committed all-or-nothing.

Spark makes every result. A small one is measured and committed without it (`small`), which takes milliseconds where
Spark takes a second; of all others Spark takes care (`delta`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kinfolk.errors import ContractError, DataError, LossLimitError
from kinfolk.settings import LimitSettings
from kinfolk.tables.contract import Table
from kinfolk.tables.lake import Lake

REASON = "reject_reason"
DETAIL = "reject_detail"
DETAIL_CHARACTERS = 200
"""How much of a detail is kept."""

Where = Mapping[str, str]
"""A slice of a table: values of some of its columns."""


@dataclass(frozen=True)
class Stamp:
    """Who commits: it stands in the provenance columns of changed rows and in the commit's own metadata."""

    job: str
    run_id: str
    time: datetime

    def columns(self, table: Table) -> dict[str, object]:
        """The values of those columns of a table that this stamp fills."""
        values = {"run_id": self.run_id, "updated_at": self.time}
        return {name: value for name, value in values.items() if name in table.column_names}

    @property
    def writer(self) -> dict[str, str]:
        """What a commit says of who made it."""
        return {"job": self.job, "run_id": self.run_id}

    def to_json(self) -> str:
        """The same as text."""
        return json.dumps(self.writer)


class Staged(Protocol):
    """A result whose rows meet the contract of their table, and what was counted of them."""

    @property
    def good(self) -> int:
        """Rows for the table."""

    @property
    def rejected(self) -> int:
        """Rows that were turned away."""

    @property
    def reasons(self) -> dict[str, int]:
        """How often each reason for that was given, the commonest first."""

    def is_current(self, lake: Lake, where: Where | None = None) -> bool:
        """Whether the table, or its slice `where`, holds the good rows already, provenance aside."""

    def count_deleted(self, lake: Lake) -> int:
        """Rows of the table as it stands whose key the good rows no longer have."""

    def commit_sync(self, lake: Lake, stamp: Stamp) -> None:
        """Make the table hold exactly the good rows: insert, update what differs, delete what is gone.

        Raises LakeBusyError where another writer changed the table meanwhile.
        """

    def commit_replace(self, lake: Lake, stamp: Stamp, where: Where) -> None:
        """Put the good rows in the place of the table's slice `where`. Raises as `commit_sync` does."""

    def stage_rejected(self, key: tuple[str, ...], job: str, lake: Lake, folder: str) -> Staged:
        """The rows turned away, staged for rejected_rows; `key` are columns that name a row where it comes from."""


def name_faults(table: Table, columns: Iterable[str], quote: str) -> dict[str, str]:
    """How rows with these columns may break the contract, in words, and the condition in SQL that says so."""
    there = set(columns)
    faults = {
        f"have no {c.name}": f"{quote}{c.name}{quote} IS NULL"
        for c in table.columns
        if not c.nullable and c.name in there
    }
    return faults | {f"break {name}: {check}": f"NOT ({check})" for name, check in table.checks.items()}


def refuse_faults(table: Table, faults: Mapping[str, int], repeated: Iterable[tuple[tuple[object, ...], int]]) -> None:
    """Raise ContractError where rows have faults (in words, with how many have it), or keys come more than once."""
    problems = [f"{count} rows {words}" for words, count in faults.items() if count]
    problems += [f"key {key} comes {times} times" for key, times in repeated]
    if problems:
        raise ContractError(f"the rows for {table.name} break its contract: {'; '.join(problems)}")


def check_limits(
    staged: Staged, table: Table, limits: LimitSettings, *, rows_seen: int | None = None, deleted: int, standing: int
) -> None:
    """Raise LossLimitError, naming the commonest reasons, when a run would lose more than the settings allow.

    `rows_seen` counts the rows that were looked at, where the result has no row for those that gave none; `deleted` of
    the `standing` rows of the table would go.
    """
    rows = rows_seen or staged.good + staged.rejected
    if staged.rejected > limits.max_rejected_share * rows:
        commonest = ", ".join(f"{reason} {count:,}" for reason, count in list(staged.reasons.items())[:3])
        raise LossLimitError(
            f"{table.name}: {staged.rejected:,} of {rows:,} rows would be rejected ({staged.rejected / rows:.1%}; "
            f"allowed: {limits.max_rejected_share:.1%}), most of them for: {commonest}. Nothing was committed. Mend "
            "the source or its settings, or raise limits.max_rejected_share"
        )
    if deleted > limits.max_deleted_share * standing:
        raise LossLimitError(
            f"{table.name}: {deleted:,} of its {standing:,} rows would be deleted ({deleted / standing:.1%}; allowed: "
            f"{limits.max_deleted_share:.1%}). Nothing was committed. See whether a source is missing, or raise "
            "limits.max_deleted_share"
        )


def check_conserved(staged: Staged, table: Table, rows_in: int) -> None:
    """Raise DataError unless rows in = rows out + rows rejected."""
    rows_out = staged.good + staged.rejected
    if rows_out != rows_in:
        raise DataError(
            f"{table.name}: {rows_in:,} rows went in, but {staged.good:,} came out and {staged.rejected:,} were "
            f"rejected, {abs(rows_in - rows_out):,} {'lost' if rows_out < rows_in else 'too many'}; nothing was "
            "committed"
        )
