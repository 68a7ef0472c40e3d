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

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
"""An identifier: a letter, then at most 63 letters, digits, underscores or hyphens."""

ColumnName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f`]+$")]
"""Name of a column in a user's file."""
