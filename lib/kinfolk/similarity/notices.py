"""What a task tells the driver beside what it found: its forecast, while it is at work, and why it refuses to work.

Spark brings nothing back from a task before it has ended, and turns an error in it into one of its own. So a forecast
goes into a small file of the folder that both reach, and a refusal takes the place of a report.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyarrow import fs

from kinfolk import errors
from kinfolk.errors import KinfolkError
from kinfolk.similarity.forecast import Forecast
from kinfolk.similarity.shipping import open_folder

_SECONDS_BETWEEN_LOOKS = 0.25
_REFUSAL = "refusal"


def tell_forecast(forecast: Forecast, path: str) -> None:
    """Write a forecast to a file, which is there only when it is whole."""
    files, folder = open_folder(os.path.dirname(path))
    name = f"{folder}/{os.path.basename(path)}"
    with files.open_output_stream(f"{name}.part") as file:
        file.write(json.dumps(forecast.to_json()).encode())
    files.move(f"{name}.part", name)


@contextmanager
def wait_for_forecast(path: str, hear: Callable[[Forecast], None]) -> Iterator[None]:
    """Hand on the forecast that a task writes while the block runs, as soon as it is there."""
    done = threading.Event()

    def look() -> None:
        is_last = False
        while not is_last:
            is_last = done.wait(_SECONDS_BETWEEN_LOOKS)
            forecast = _read_forecast(path)
            if forecast is not None:
                hear(forecast)
                return

    thread = threading.Thread(target=look, name="forecast of a join", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def tell_refusal(error: KinfolkError) -> str:
    """Why a task refuses to work, in the place of its report."""
    return json.dumps({_REFUSAL: type(error).__name__, "message": str(error)})


def raise_refusal(text: str) -> None:
    """Raise the error of a task that refused to work; of another one the text is its report."""
    values = json.loads(text)
    if _REFUSAL in values:
        raise getattr(errors, values[_REFUSAL])(values["message"])


def _read_forecast(path: str) -> Forecast | None:
    files, folder = open_folder(os.path.dirname(path))
    name = f"{folder}/{os.path.basename(path)}"
    if files.get_file_info(name).type is not fs.FileType.File:
        return None
    with files.open_input_stream(name) as file:
        return Forecast.from_json(json.loads(file.read()))
