"""The peer's end of the line: answers calls, a line of JSON each. Needs nothing but Python's own library."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any


def serve(functions: Mapping[str, Callable[..., Any]]) -> None:
    """Answer calls until the input ends: the first line out says that everything is imported."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    # What libraries print must not come between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(answer(functions, request["function"], request["arguments"])) + "\n")


def answer(functions: Mapping[str, Callable[..., Any]], function: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call a function; an error becomes an answer, and says whether it was the memory that did not suffice."""
    try:
        return {"result": functions[function](**arguments)}
    except Exception as error:  # noqa: BLE001 - it is raised again on the other side
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}"
        return {"error": text, "is_out_of_memory": isinstance(error, MemoryError) or "OutOfMemoryError" in text}
