"""What every section of the settings is: frozen, typed, ranged, and strict about names."""

from __future__ import annotations

import os
import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kinfolk.errors import SettingsError


class Section(BaseModel):
    """A frozen group of settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)


def expand_path(path: object) -> object:
    """Replace a leading `~` and `${NAME}` or `${NAME:-default}` in a path by the home folder and the environment.

    A default may hold another such name: `${KINFOLK_CACHE:-${XDG_CACHE_HOME:-~/.cache}/kinfolk}`.
    """
    if not isinstance(path, str):
        return path

    def look_up(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        found = os.environ.get(name) or default
        if found is None:
            raise SettingsError(
                f"the path {path!r} names the environment variable {name}, which is not set; "
                f"set it, or write ${{{name}:-some/default}}"
            )
        return found

    innermost = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^${}]*))?\}")
    while innermost.search(path):
        path = innermost.sub(look_up, path)
    return os.path.expanduser(path)


Path = Annotated[str, BeforeValidator(expand_path), Field(min_length=1, pattern=r"^[^\x00-\x1f]+$")]
"""A local path or a URI that Hadoop and Arrow understand, with `~` and environment variables expanded."""

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def read_size(size: object) -> object:
    """Read a size in bytes as people write it, with a unit of thousands or of 1024; numbers stay as they are.

    >>> read_size("1.5 GB"), read_size("512 MiB"), read_size(1000)
    (1500000000, 536870912, 1000)
    """
    if not isinstance(size, str):
        return size
    parts = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", size.lower())
    if parts is None or parts[2] not in _UNITS:
        raise ValueError(f"{size!r} is no size; write a number of bytes, or one with a unit such as 1.5 GB")
    return round(float(parts[1]) * _UNITS[parts[2]])


Size = Annotated[int, BeforeValidator(read_size), Field(ge=1)]
"""A number of bytes, or a text such as 1.5 GB or 512 MiB."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
"""An identifier: a letter, then at most 63 letters, digits, underscores or hyphens."""

ColumnName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f`]+$")]
"""Name of a column in a user's file."""
