"""What is to be made of the rows of a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kinfolk.errors import DataError
from kinfolk.feed.batches import ID
from kinfolk.feed.order import Integers
from kinfolk.feed.sampling import Sampling
from kinfolk.feed.snapshot import FeedPlan
from kinfolk.tensors import Columns, Reader, codes

Transform = Callable[[Columns, Integers], Columns]
"""Changes rows, each by itself: given columns and a seed for each row [B], returns columns with as many rows.

It runs in worker threads, on rows of one row group. A row's seed depends on the feed's seed, the epoch and the row.
"""


@dataclass(frozen=True)
class Recipe:
    """Which columns are read, how each becomes a tensor, and how rows are drawn and changed.

    `columns` is such as `{"image": partial(pictures, height=32, width=32), "text_tokens": ragged}`. Another `seed`
    gives another order. Batches carry digests where `id_column` names a column of strings or integers.
    """

    columns: Mapping[str, Reader]
    seed: int
    sampling: Sampling | None = None
    transform: Transform | None = field(default=None, compare=False)
    id_column: str | None = None

    @property
    def readers(self) -> list[tuple[str, str, Reader]]:
        """The name of each tensor, the column that it is made of, and how."""
        of_ids = [(ID, self.id_column, codes)] if self.id_column else []
        return [*((name, name, reader) for name, reader in self.columns.items()), *of_ids]

    @property
    def sources(self) -> list[str]:
        """The columns that are read, each once."""
        return list(dict.fromkeys(source for _, source, _ in self.readers))

    def check(self, plan: FeedPlan) -> None:
        """Raise DataError where a plan lacks a column."""
        named = {*self.sources, *([self.sampling.column] if self.sampling else [])}
        unknown = sorted(named - set(plan.columns))
        if unknown:
            raise DataError(f"{plan.root} has no column {', '.join(unknown)}; it has {', '.join(plan.columns)}")
