"""Tables for a terminal: plain text, aligned by what a terminal shows, fitted to its width."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Any

_GAP = "  "
_LEAST_WIDTH = 8
_MOST_LINES = 4


def render_table(
    rows: Sequence[Sequence[Any]], headers: Sequence[str], *, width: int | None = None, most_lines: int = _MOST_LINES
) -> str:
    """Lay rows out below their headers; numbers stand to the right, and what is too wide is broken at blanks.

    `width` is the number of terminal columns, by default the terminal's own; where the output is no terminal, COLUMNS
    or 80. The widest columns give way first, none below 8; a cell takes at most so many lines, and what is cut ends
    with an ellipsis.

    >>> print(render_table([["apple", 3], ["梨", 12]], ["fruit", "count"], width=80))
    fruit  count
    -----  -----
    apple      3
    梨        12
    """
    cells = [[format_value(value) for value in row] for row in rows]
    widths = [max(map(measure_width, column)) for column in zip(headers, *cells, strict=True)]
    widths = _shrink(widths, width or shutil.get_terminal_size().columns)
    is_number = [bool(rows) and all(_is_number(row[place]) for row in rows) for place in range(len(headers))]
    lines = [headers, ["-" * wide for wide in widths], *cells]
    return "\n".join(line for row in lines for line in _render_row(row, widths, is_number, most_lines))


def render_bar(value: float, greatest: float, *, width: int = 24) -> str:
    """A bar as long as a value is beside the greatest, `width` columns for that one; solid, below 0 shaded.

    >>> [render_bar(value, 4.0, width=4) for value in (4.0, -2.0, 0.1, 0.0)]
    ['████', '░░', '█', '']
    """
    length = round(width * abs(value) / greatest) if value else 0
    return ("█" if value > 0 else "░") * max(length, 1 if value else 0)


def format_value(value: Any) -> str:
    """One value on one line: fractions in four digits, lists with commas, times to the second, the size of bytes."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, list | tuple):
        return ", ".join(map(format_value, value))
    return " ".join(str(value).split())


def measure_width(text: str) -> int:
    """Columns that a terminal gives a text: two for wide characters, none for marks and joiners.

    >>> [measure_width(text) for text in ("abc", "梨", "e\u0301")]
    [3, 2, 1]
    """
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf", "Cc"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool))


def _shrink(widths: list[int], total: int) -> list[int]:
    """Take columns off the widest cells until a line fits."""
    widths = list(widths)
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - total
    for _ in range(max(0, excess)):
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= _LEAST_WIDTH:
            break
        widths[widest] -= 1
    return widths


def _render_row(cells: Sequence[str], widths: Sequence[int], is_number: Sequence[bool], most_lines: int) -> list[str]:
    """The lines of one row: as many as its longest cell needs."""
    wrapped = [_wrap(cell, wide, most_lines) for cell, wide in zip(cells, widths, strict=True)]
    lines = []
    for parts in zip_longest(*wrapped, fillvalue=""):
        padding = [" " * (wide - measure_width(part)) for part, wide in zip(parts, widths, strict=True)]
        shown = [
            pad + part if to_the_right else part + pad
            for part, pad, to_the_right in zip(parts, padding, is_number, strict=True)
        ]
        lines.append(_GAP.join(shown).rstrip())
    return lines


def _wrap(text: str, width: int, most_lines: int) -> list[str]:
    """Break a text at blanks; a word that is too wide is cut, and so is what `most_lines` lines cannot hold."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if measure_width(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(word)
    if len(lines) > most_lines:
        lines[most_lines - 1 :] = [" ".join(lines[most_lines - 1 :])]
    return [_cut(line, width) for line in lines]


def _cut(text: str, width: int) -> str:
    if measure_width(text) <= width:
        return text
    kept, used = "", 1
    for character in text:
        used += _character_width(character)
        if used > width:
            break
        kept += character
    return kept + "…"
