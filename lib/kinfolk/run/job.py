"""What a job is: its function, what it reads and writes, and what its result depends on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    files that the result is made from, files that have to exist for the job to count as done. A job is left out of
    `kinfolk run` where a setting that it `needs` has no value; one of sections that are listed, such as
    sources.events.price, has one where any of them has.
    """

    name: str
    body: Callable[[Run], None]
    reads: tuple[Table, ...] = ()
    optional_reads: tuple[Table, ...] = ()
    writes: tuple[Table, ...] = ()
    sections: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    files: Callable[[Settings], list[FileStamp]] | None = None
    products: Callable[[Settings], list[str]] | None = None
    uses_run_date: Callable[[Settings], bool] = lambda _: False

    @property
    def meaning(self) -> str:
        """The docstring of the job's module, for its help."""
        return inspect.getdoc(inspect.getmodule(self.body)) or self.name

    def lacks(self, settings: Settings) -> str | None:
        """The setting without which the job has nothing to do, such as sources.items; None where it has all."""
        return next((name for name in self.needs if not _gives(settings, name.split("."))), None)


def _gives(value: Any, path: list[str]) -> bool:
    """Whether a setting, given by its path from here, has a value; of several sections one that has is enough."""
    if not path:
        return bool(value)
    sections = value if isinstance(value, tuple) else (value,)
    return any(_gives(getattr(section, path[0]), path[1:]) for section in sections)
