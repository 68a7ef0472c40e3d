"""How kernels are compiled, and where what was compiled is kept.

Numba keeps machine code by the file of each function, and does not see when a function of another file that is a part
of it has changed. So the folder is named after all the kernels there are: other code is compiled anew.

Numba counts references whenever an array is handed on or taken out of a tuple, which takes longer than the work on a
token. Kernels that make no arrays do without (`_nrt=False`; Numba refuses the option where an array is made).
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba.extending import intrinsic

Whole = int | np.int64
"""What kernels count with: to them Python's integers and NumPy's are the same."""

Function = TypeVar("Function", bound=Callable[..., Any])


_PACKAGE = Path(__file__).parent.parent


@functools.cache
def _read_kernels() -> list[tuple[Path, bytes]]:
    """The files that hold kernels, in order, and what is in them."""
    files = [(path, path.read_bytes()) for path in sorted(_PACKAGE.rglob("*.py"))]
    return [(path, content) for path, content in files if b"compiling import" in content]


def digest_kernels(folder: str | None = None) -> str:
    """Which kernels there are in a package of kinfolk, or in all: a hash of the files that hold them."""
    digest = hashlib.sha256()
    for path, content in _read_kernels():
        if folder is None or path.relative_to(_PACKAGE).parts[0] in (folder, Path(__file__).parent.name):
            digest.update(path.name.encode() + b"\0" + content)
    return digest.hexdigest()[:16]


def _kernels_folder() -> str:
    """The folder for this machine code: in $NUMBA_CACHE_DIR, or the user's cache, or where neither can be written."""
    user_cache = os.environ.get("KINFOLK_CACHE") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/kinfolk"
    chosen = Path(os.environ.get("NUMBA_CACHE_DIR") or os.path.expanduser(f"{user_cache}/kernels"))
    try:
        chosen.mkdir(parents=True, exist_ok=True)
    except OSError:
        chosen = Path(tempfile.gettempdir()) / f"kinfolk-kernels-{os.getuid()}"
    return str(chosen / digest_kernels())


numba.config.CACHE_DIR = _kernels_folder()  # type: ignore[attr-defined]

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True}
_WITHOUT_COUNTS: dict[str, Any] = _OPTIONS | {"_nrt": False}


def kernel(function: Function) -> Function:
    """Compile a function that makes no arrays; other threads run meanwhile."""
    made: Function = numba.njit(**_WITHOUT_COUNTS)(function)
    return made


def compiled(function: Function) -> Function:
    """Compile a function that may make arrays; other threads run meanwhile."""
    made: Function = numba.njit(**_OPTIONS)(function)
    return made


def inlined(function: Function) -> Function:
    """Compile a function that makes no arrays as a part of each kernel that calls it."""
    made: Function = numba.njit(**_WITHOUT_COUNTS, forceinline=True)(function)
    return made


def instruction(generator: Callable[..., Any]) -> Any:
    """Make what a function generates, given the types of its arguments, a function that kernels can call."""
    return intrinsic(generator)
