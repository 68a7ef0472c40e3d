"""How what was prepared reaches every task: as a file that all workers of a machine map into their memory."""

from __future__ import annotations

import fcntl
import mmap
import os
import pickle
import shutil
import uuid
from functools import lru_cache
from typing import IO, Any

from pyarrow import fs

from kinfolk.tasks.files import open_folder

_ALIGNMENT = 64
_LENGTH_BYTES = 8


def ship(thing: Any, folder: str) -> str:
    """Write a thing to a folder that all tasks reach; returns what `receive` takes.

    Arrays lie in the file as they are, beside a pickle of the rest, so that workers of one machine share their memory.
    """
    buffers: list[pickle.PickleBuffer] = []
    rest = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    files, inside = open_folder(folder)
    name = f"{uuid.uuid4().hex}.shipped"
    with files.open_output_stream(f"{inside}/{name}") as file:
        for part in [*(buffer.raw() for buffer in buffers), memoryview(rest)]:
            file.write(part.nbytes.to_bytes(_LENGTH_BYTES, "little").ljust(_ALIGNMENT, b"\0"))
            file.write(part)
            file.write(b"\0" * (_aligned(part.nbytes) - part.nbytes))
    return f"{folder}/{name}"


@lru_cache(maxsize=1)
def receive(path: str) -> Any:
    """The thing that was shipped; its arrays cannot be written."""
    with _open_here(path) as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    parts: list[memoryview] = []
    place = 0
    while place < len(memory):
        length = int.from_bytes(memory[place : place + _LENGTH_BYTES], "little")
        place += _ALIGNMENT
        parts.append(memory[place : place + length])
        place += _aligned(length)
    # The file was written by `ship`, by the driver of this very application.
    return pickle.loads(parts[-1], buffers=parts[:-1])  # noqa: S301


def _open_here(path: str) -> IO[bytes]:
    """Open the file on this machine; from elsewhere it is copied once for each executor."""
    files, inside = open_folder(os.path.dirname(path))
    name = os.path.basename(path)
    if isinstance(files, fs.LocalFileSystem):
        return open(f"{inside}/{name}", "rb")
    from pyspark import SparkFiles

    # Spark removes this folder together with the executor.
    copy = os.path.join(SparkFiles.getRootDirectory(), name)
    with open(f"{copy}.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(copy):
            with files.open_input_stream(f"{inside}/{name}") as source, open(f"{copy}.part", "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            os.replace(f"{copy}.part", copy)
    return open(copy, "rb")


def _aligned(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT
