"""What a job is: its function, what it reads and writes, and what its result depends on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kinfolk.settings import Settings
from kinfolk.tables.contract import Table

if TYPE_CHECKING:
    from kinfolk.run.run import Run


@dataclass(frozen=True, order=True)
class FileStamp:
    """A file as it stood when a job looked: path, size in bytes, time of modification in nanoseconds."""

    path: str
    size: int
    modified_ns: int


@dataclass(frozen=True)
class Job:
    """One arrow of the road: read tables, call domain functions, write tables.

    `reads` have to be there, `optional_reads` may be missing. `files` and `products` name what lies outside tables:
    files that the result is made from, files that have to exist for the job to count as done. A job that `needs` items
    or events is left out of `kinfolk run` where the settings name no such source.
    """

    name: str
    body: Callable[[Run], None]
    reads: tuple[Table, ...] = ()
    optional_reads: tuple[Table, ...] = ()
    writes: tuple[Table, ...] = ()
    sections: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    needs: Literal["items", "events"] | None = None
    files: Callable[[Settings], list[FileStamp]] | None = None
    products: Callable[[Settings], list[str]] | None = None
    uses_run_date: Callable[[Settings], bool] = lambda _: False

    @property
    def meaning(self) -> str:
        """The docstring of the job's module, for its help."""
        return inspect.getdoc(inspect.getmodule(self.body)) or self.name

    def applies(self, settings: Settings) -> bool:
        """Whether the settings name a source of what the job needs."""
        return self.needs is None or bool(getattr(settings.sources, self.needs))
