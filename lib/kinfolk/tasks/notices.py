"""What a task tells the driver before it has ended.

Spark brings nothing back from a task that is still at work. So what the driver is to hear meanwhile goes into a small
file of a folder that both reach.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyarrow import fs

from kinfolk.tasks.files import open_folder

_SECONDS_BETWEEN_LOOKS = 0.25


def tell(text: str, path: str) -> None:
    """Write a notice to a file, which is there only when it is whole."""
    files, folder = open_folder(os.path.dirname(path))
    name = f"{folder}/{os.path.basename(path)}"
    with files.open_output_stream(f"{name}.part") as file:
        file.write(text.encode())
    files.move(f"{name}.part", name)


@contextmanager
def listening(path: str, hear: Callable[[str], None]) -> Iterator[None]:
    """Hand on the notice that a task writes while the block runs, as soon as it is there."""
    done = threading.Event()

    def look() -> None:
        is_last = False
        while not is_last:
            is_last = done.wait(_SECONDS_BETWEEN_LOOKS)
            text = _read(path)
            if text is not None:
                hear(text)
                return

    thread = threading.Thread(target=look, name="notice of a task", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _read(path: str) -> str | None:
    files, folder = open_folder(os.path.dirname(path))
    name = f"{folder}/{os.path.basename(path)}"
    if files.get_file_info(name).type is not fs.FileType.File:
        return None
    with files.open_input_stream(name) as file:
        return bytes(file.read()).decode()
