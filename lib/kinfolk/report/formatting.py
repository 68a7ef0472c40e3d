"""How numbers and names are written on the page."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

MISSING = "–"
_DIGITS = 3


def format_count(value: int | None) -> str:
    """Write a count with thousands separators.

    >>> format_count(1007913)
    '1,007,913'
    """
    return MISSING if value is None else f"{value:,}"


def format_figure(value: float | None) -> str:
    """Write a measurement with three significant digits, whole from 1,000 on; infinity as its sign.

    >>> [format_figure(v) for v in (0.012345, 0.5, 24.06, 1234.5, 0.0)]
    ['0.0123', '0.500', '24.1', '1,234', '0']
    """
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 1e-5:
        return f"{value:.2e}"
    decimals = _DIGITS - 1 - math.floor(math.log10(abs(float(f"{value:.2e}"))))
    return f"{value:.{max(decimals, 0)}f}"


def format_share(value: float | None) -> str:
    """Write a share of 0 to 1 as per cent, with three significant digits.

    >>> [format_share(v) for v in (1.0, 0.68123, 0.05573, 0.0)]
    ['100%', '68.1%', '5.57%', '0%']
    """
    if value is None or math.isnan(value):
        return MISSING
    if 0 < value < 1e-5:
        return "<0.001%"
    return f"{format_figure(value * 100)}%"


def format_similarity(value: float) -> str:
    """Write a cosine with three decimals; what is not quite 1 never reads 1.

    >>> format_similarity(0.99996), format_similarity(0.9312)
    ('0.999', '0.931')
    """
    return "1.000" if value >= 1 - 1e-9 else f"{math.floor(value * 1000) / 1000:.3f}"


def format_duration(seconds: float | None) -> str:
    """Write a duration as a person says it.

    >>> [format_duration(s) for s in (0.42, 12.3, 200, 4000)]
    ['0.4 s', '12 s', '3 min 20 s', '1 h 7 min']
    """
    if seconds is None:
        return MISSING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def format_brief_duration(seconds: float) -> str:
    """Write a duration where there is little room.

    >>> [format_brief_duration(s) for s in (0.42, 12.3, 164, 4000)]
    ['0.4 s', '12 s', '2.7 min', '1.1 h']
    """
    if seconds < 59.5:
        return format_duration(seconds)
    return f"{seconds / 60:.1f} min" if seconds < 3597 else f"{seconds / 3600:.1f} h"


def format_moment(milliseconds: int) -> str:
    """Write a moment, given in milliseconds since 1970, to the minute and in UTC.

    >>> format_moment(0)
    '1970-01-01 00:00'
    """
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds):%Y-%m-%d %H:%M}"


def format_words(name: str) -> str:
    """Write a name from a table in plain words.

    >>> format_words("not_positive_quantity")
    'not positive quantity'
    """
    return name.replace("_", " ").strip()


def shorten_name(text: str, most: int = 48) -> str:
    """Cut a text down to a name: what stands before its first comma, semicolon, bar or line break.

    >>> shorten_name("grinning face, cheerful, smile")
    'grinning face'
    """
    first = re.split(r"[,;|\n\r]", text.strip(), maxsplit=1)[0].strip() or text.strip()
    return first if len(first) <= most else first[: most - 1].rstrip() + "…"


def wrap_name(name: str, width: int, most_lines: int) -> tuple[str, ...]:
    """Break a name into lines of at most `width` characters, the last one cut with an ellipsis where it does not end.

    >>> wrap_name("WHITE HANGING HEART T-LIGHT HOLDER", 16, 2)
    ('WHITE HANGING', 'HEART T-LIGHT…')
    """
    lines: list[str] = []
    for word in name.split():
        piece = word if len(word) <= width else word[: width - 1] + "…"
        if lines and len(lines[-1]) + 1 + len(piece) <= width:
            lines[-1] += " " + piece
        else:
            lines.append(piece)
    if len(lines) > most_lines:
        lines = [*lines[: most_lines - 1], lines[most_lines - 1][: width - 1].rstrip() + "…"]
    return tuple(lines or ("",))
