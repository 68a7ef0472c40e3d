"""Before anything is read: does every file have the columns that the settings name, and is there any row at all?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches

from pyarrow import fs

from kinfolk.errors import DataError
from kinfolk.settings import FileSource, ItemSource
from kinfolk.sources.delimited import read_csv_header
from kinfolk.sources.files import Listed, SourceFile, format_of, source_filesystem
from kinfolk.sources.json_lines import read_json_header
from kinfolk.sources.parquet import read_parquet_header

_ITEM_COLUMNS = ("id", "subject", "variant", "label", "text", "image", "audio")
_EVENT_COLUMNS = ("basket", "customer", "item", "item_name", "category", "segment", "time", "quantity", "price")
_HEADERS_AT_A_TIME = 8


def columns_named(source: FileSource) -> dict[str, str]:
    """What each column that the settings name means: meaning → name in the file.

    >>> from kinfolk.settings import EventSource
    >>> columns_named(EventSource(name="shop", path="sales.csv", basket="Invoice", item="Code"))
    {'basket': 'Invoice', 'item': 'Code'}
    """
    meanings = _ITEM_COLUMNS if isinstance(source, ItemSource) else _EVENT_COLUMNS
    named = {meaning: getattr(source, meaning) for meaning in meanings}
    return {meaning: name for meaning, name in named.items() if name is not None}


def check_sources(listed: Sequence[Listed]) -> None:
    """Look at the head of every file. Raises DataError naming every missing column of every file, and those there are.

    Empty files need no columns. When no file of any source has a row, something is wrong, and that raises as well.
    """
    opened = [(source, source_filesystem(source), file) for source, files in listed for file in files]
    with ThreadPoolExecutor(_HEADERS_AT_A_TIME) as pool:
        headers = list(pool.map(lambda place: _read_header(*place), opened))
    problems = [
        problem
        for (source, _, file), (names, _) in zip(opened, headers, strict=True)
        if names
        for problem in _problems(source, file, names)
    ]
    if problems:
        raise DataError("the files do not have the columns that the settings name:\n  " + "\n  ".join(problems))
    if listed and not any(has_rows for _, has_rows in headers):
        paths = ", ".join(source.path for source, _ in listed)
        raise DataError(
            f"the input is empty: none of the {len(opened)} files of {paths} has a row; nothing was changed"
        )


def _read_header(source: FileSource, filesystem: fs.FileSystem, file: SourceFile) -> tuple[list[str], bool]:
    match format_of(source, file.path):
        case "csv":
            return read_csv_header(filesystem, file.path, source)
        case "jsonl":
            return read_json_header(filesystem, file.path, source)
        case "parquet":
            return read_parquet_header(filesystem, file.path)


def _problems(source: FileSource, file: SourceFile, names: list[str]) -> list[str]:
    times = Counter(names)
    return [
        f"{file.path} has {_count(times[name])} {name!r}, which sources.{source.name} names as {meaning}; "
        + (f"the nearest is {close[0]!r}; " if (close := _nearest(name, names)) and not times[name] else "")
        + f"there are: {', '.join(names)}"
        for meaning, name in columns_named(source).items()
        if times[name] != 1
    ]


def _count(times: int) -> str:
    return "no column" if times == 0 else f"{times} columns"


def _nearest(name: str, names: list[str]) -> list[str]:
    """The name that differs least, upper and lower case taken as the same."""
    folded = {candidate.casefold(): candidate for candidate in names}
    return [folded[found] for found in get_close_matches(name.casefold(), folded, n=1)]
