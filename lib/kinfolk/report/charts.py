"""Geometry of the charts: scales, ticks, lines and labels, in the units of an SVG view box; templates draw them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kinfolk.report.formatting import format_count, format_figure, format_share

Point = tuple[float, float]
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Tick:
    """A place on an axis and what is written there."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """A curve, or a level that was measured once; drawn in the style `kind` and labelled at its right end."""

    kind: str
    name: str
    value: str
    path: str
    end: Point
    label_y: float
    is_level: bool


@dataclass(frozen=True)
class LineChart:
    """Lines over epochs; `left`, `right`, `top` and `bottom` bound the plot inside the view box."""

    title: str
    summary: str
    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Series:
    """Values by epoch of one line, as they were measured."""

    kind: str
    name: str
    points: tuple[tuple[int, float], ...]

    @property
    def finite(self) -> list[tuple[int, float]]:
        """The points that can be drawn."""
        return [(epoch, value) for epoch, value in self.points if math.isfinite(value)]


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that cover low to high, at most `most` + 1 of them (Heckbert, Graphics Gems, 1990).

    >>> nice_ticks(0.0, 0.68)
    [0.0, 0.2, 0.4, 0.6, 0.8]
    """
    spread = (high - low) or abs(high) or 1.0
    rough = spread / most
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(magnitude * factor for factor in (1, 2, 5, 10) if magnitude * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, max(last, first + 1) + 1)]


def spread_out(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move places apart until neighbours are `gap` apart, staying between low and high where there is room.

    >>> spread_out([10.0, 12.0, 50.0], 8.0, 0.0, 100.0)
    [10.0, 18.0, 50.0]
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = list(places)
    floor = low
    for index in order:
        moved[index] = max(moved[index], floor)
        floor = moved[index] + gap
    ceiling = high
    for index in reversed(order):
        moved[index] = min(moved[index], ceiling)
        ceiling = moved[index] - gap
    return moved


def draw_lines(title: str, series: Sequence[Series], *, is_share: bool) -> LineChart:
    """Draw values over epochs; a series with a single value becomes a level across the plot.

    Every series has to hold a finite value. Shares are written in per cent and start at 0.
    """
    width, height, left, right, top, bottom = 360, 230, 44.0, 258.0, 16.0, 192.0
    write = format_share if is_share else format_figure
    values = [value for line in series for _, value in line.finite]
    y_values = nice_ticks(0.0 if is_share or min(values) >= 0 else min(values), max(values))
    epochs = [epoch for line in series if len(line.finite) > 1 for epoch, _ in line.finite]
    x_values = [e for e in nice_ticks(min(epochs, default=0), max(epochs, default=1)) if e == int(e)]
    x_low, x_high = float(min(epochs, default=0)), float(max(epochs, default=1))
    to_x = _scale(x_low, x_high, left, right)
    to_y = _scale(y_values[0], y_values[-1], bottom, top)
    lines = [_draw_line(line, (to_x, to_y), write, (left, right)) for line in series]
    labels = spread_out([line.end[1] for line in lines], 30.0, top + 2, bottom - 12)
    return LineChart(
        title,
        "; ".join(f"{line.name} ends at {line.value}" for line in lines),
        width, height, left, right, top, bottom,
        tuple(Tick(to_x(e), f"{int(e)}") for e in x_values if x_low <= e <= x_high),
        tuple(Tick(to_y(v), _axis_label(v, is_share=is_share)) for v in y_values),
        tuple(Line(n.kind, n.name, n.value, n.path, n.end, y, n.is_level) for n, y in zip(lines, labels, strict=True)),
    )  # fmt: skip


def _draw_line(series: Series, to: tuple[Scale, Scale], write: Callable[[float], str], plot: Point) -> Line:
    points = series.finite
    last = points[-1][1]
    is_level = len(points) == 1
    to_x, to_y = to
    places = [(plot[0], to_y(last)), (plot[1], to_y(last))] if is_level else [(to_x(e), to_y(v)) for e, v in points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return Line(series.kind, series.name, write(last), path, places[-1], places[-1][1], is_level)


def _axis_label(value: float, *, is_share: bool) -> str:
    return f"{value * 100:g}%" if is_share else f"{value:,g}"


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    """The straight line that takes low to start and high to end."""
    factor = (end - start) / ((high - low) or 1.0)
    return lambda value: start + (value - low) * factor


@dataclass(frozen=True)
class Dot:
    """One value on a row of a dot chart."""

    kind: str
    name: str
    x: float
    value: str


@dataclass(frozen=True)
class DotRow:
    """A measure with a dot for each encoder; `label_x` is where the value of the first one is written."""

    name: str
    y: float
    dots: tuple[Dot, ...]
    start: float
    end: float


@dataclass(frozen=True)
class DotChart:
    """Shares of 0 to 1, a row a measure, a dot an encoder."""

    title: str
    summary: str
    width: int
    height: int
    ticks: tuple[Tick, ...]
    top: float
    bottom: float
    rows: tuple[DotRow, ...]


def draw_dots(title: str, rows: Sequence[tuple[str, Sequence[tuple[str, str, float]]]]) -> DotChart:
    """Draw rows of (name, dots), each dot a (kind, name, value of 0 to 1)."""
    width, top, pitch, left, right = 360, 14.0, 32.0, 84.0, 340.0
    to_x = _scale(0.0, 1.0, left, right)
    drawn = []
    for index, (name, dots) in enumerate(rows):
        y = top + pitch * (index + 0.5)
        places = tuple(Dot(kind, label, to_x(value), format_share(value)) for kind, label, value in dots)
        xs = [dot.x for dot in places]
        drawn.append(DotRow(name, y, places, min(xs), max(xs)))
    bottom = top + pitch * len(rows)
    ticks = tuple(Tick(to_x(share / 4), f"{share * 25}%") for share in range(5))
    summary = "; ".join(f"{r.name}: " + ", ".join(f"{d.name} {d.value}" for d in r.dots) for r in drawn)
    return DotChart(title, summary, width, int(bottom + 26), ticks, top, bottom, tuple(drawn))


@dataclass(frozen=True)
class Bar:
    """A bar from `x` over `length`; `is_against` says that its value is below 0."""

    name: str
    y: float
    x: float
    length: float
    value: str
    is_against: bool


@dataclass(frozen=True)
class BarChart:
    """Numbers as lying bars, a row each; `zero` is where the bars begin."""

    title: str
    summary: str
    width: int
    height: float
    zero: float
    bars: tuple[Bar, ...]


def draw_bars(title: str, rows: Sequence[tuple[str, float]], *, is_count: bool) -> BarChart:
    """Draw rows of (name, number), one at least; those below 0 to the left."""
    width, pitch, left, right = 320, 20.0, 96.0, 262.0
    values = [value for _, value in rows]
    to_x = _scale(min(0.0, *values), max(0.0, *values), left, right)
    bars = []
    for index, (name, value) in enumerate(rows):
        x, end = sorted((to_x(0.0), to_x(value)))
        written = format_count(int(value)) if is_count else format_figure(value)
        bars.append(Bar(name, pitch * (index + 0.5), x, end - x, written, value < 0))
    summary = "; ".join(f"{bar.name} {bar.value}" for bar in bars)
    return BarChart(title, summary, width, pitch * len(rows), to_x(0.0), tuple(bars))


@dataclass(frozen=True)
class Mark:
    """A point of a scatter chart: where, how large, and what it stands for."""

    x: float
    y: float
    radius: float
    title: str


@dataclass(frozen=True)
class ScatterChart:
    """Points in a plane; `left`, `right`, `top` and `bottom` bound the plot inside the view box."""

    title: str
    summary: str
    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]


def draw_scatter(title: str, points: Sequence[tuple[float, float, float, str]]) -> ScatterChart:
    """Draw points, one at least: a share above 0 to the right, by factors; a share upwards; what enlarges; a title.

    Of two points where one enlarges four times as much as the other, it is twice as wide. Large ones are drawn first.
    """
    width, height, left, right, top, bottom = 360, 296, 44.0, 352.0, 26.0, 250.0
    x_values = factor_ticks(min(x for x, *_ in points), max(x for x, *_ in points))
    y_values = nice_ticks(min(y for _, y, *_ in points), 1.0)
    to_x = _scale(math.log(x_values[0]), math.log(x_values[-1]), left + 10, right - 10)
    to_y = _scale(y_values[0], y_values[-1], bottom - 8, top + 8)
    largest = max(size for _, _, size, _ in points)
    marks = [
        Mark(to_x(math.log(x)), to_y(y), 1.0 + 5.0 * math.sqrt(max(size, 0.0) / (largest or 1.0)), name)
        for x, y, size, name in sorted(points, key=lambda point: -point[2])
    ]
    x_ticks = tuple(Tick(to_x(math.log(x)), _axis_label(float(f"{x:.6g}"), is_share=True)) for x in x_values)
    y_ticks = tuple(Tick(to_y(y), _axis_label(y, is_share=True)) for y in y_values)
    summary = f"{len(points)} points"
    return ScatterChart(title, summary, width, height, left, right, top, bottom, x_ticks, y_ticks, tuple(marks))


def factor_ticks(low: float, high: float) -> list[float]:
    """Round numbers of one digit, 1, 2 or 5, around low to high, both above 0, for a scale of factors.

    >>> factor_ticks(0.011, 0.08)
    [0.01, 0.02, 0.05, 0.1]
    """
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    first = max(place for place, tick in enumerate(ticks) if tick <= low * (1 + 1e-9))
    last = next(place for place, tick in enumerate(ticks) if tick >= high * (1 - 1e-9))
    return ticks[first : max(last, first + 1) + 1]
