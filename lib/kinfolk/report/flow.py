"""Geometry of the drawing of the road: tables as boxes, jobs as arrows, once wide and once tall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stop:
    """A place on the road: files, a table or a model, with what is counted there.

    `kept` is the share of the rows read that entered, 0 to 1, and `note` says how many were turned away; `kind` is
    files, table, model or absent.
    """

    name: str
    figure: str
    unit: str
    kind: str
    kept: float = 1.0
    note: str = ""


@dataclass(frozen=True)
class Leg:
    """A job that leads on, with how long it took, and the stops it makes."""

    job: str
    duration: str
    stops: tuple[Stop, ...]


@dataclass(frozen=True)
class Lane:
    """Where a lane starts and the legs that follow, each leaving from the first stop of the leg before.

    `shortcut` names two legs by their place: the stop of the first is also read by the job of the second.
    """

    start: Stop
    legs: tuple[Leg, ...]
    shortcut: tuple[int, int] | None = None


@dataclass(frozen=True)
class Box:
    """A stop with its place."""

    stop: Stop
    x: float
    y: float
    width: float
    height: float

    @property
    def middle_x(self) -> float:
        """Where the vertical middle line is."""
        return self.x + self.width / 2

    @property
    def middle_y(self) -> float:
        """Where the horizontal middle line is."""
        return self.y + self.height / 2

    @property
    def right(self) -> float:
        """Where the right edge is."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Where the lower edge is."""
        return self.y + self.height


@dataclass(frozen=True)
class Arrow:
    """A job with the paths of its arrows and the place of its label; `anchor` is SVG's text-anchor."""

    job: str
    duration: str
    paths: tuple[str, ...]
    label_x: float
    label_y: float
    anchor: str


@dataclass(frozen=True)
class Drawing:
    """Boxes and arrows in a view box; `kind` is wide or tall."""

    kind: str
    width: float
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


_HEIGHT = 66.0
_WIDE, _WIDE_GAP, _WIDE_STACK, _LANE_GAP = 122.0, 58.0, 12.0, 44.0
_TALL, _TALL_GAP, _TALL_STACK, _COLUMN_GAP = 168.0, 50.0, 8.0, 24.0
_EDGE, _HEAD, _NOTE, _TRUNK = 2.0, 5.0, 18.0, 20.0


def draw_wide(lanes: Sequence[Lane]) -> Drawing:
    """Draw the lanes below each other, each from left to right."""
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    top = _EDGE
    for lane in lanes:
        stacked = max(len(leg.stops) for leg in lane.legs)
        roof = 26.0 if lane.shortcut and stacked == 1 else 0.0
        middle = top + roof + (stacked * (_HEIGHT + _WIDE_STACK) - _WIDE_STACK) / 2
        columns = _place_wide(lane, middle)
        boxes += [box for column in columns for box in column]
        arrows += _connect_wide(lane, columns)
        top = max(box.bottom for column in columns for box in column) + _LANE_GAP
    return Drawing(
        "wide", max(box.right for box in boxes) + _EDGE, top - _LANE_GAP + _NOTE, tuple(boxes), tuple(arrows)
    )


def _place_wide(lane: Lane, middle: float) -> list[list[Box]]:
    columns = []
    for index, stops in enumerate([(lane.start,), *(leg.stops for leg in lane.legs)]):
        x = _EDGE + index * (_WIDE + _WIDE_GAP)
        top = middle - (len(stops) * (_HEIGHT + _WIDE_STACK) - _WIDE_STACK) / 2
        columns.append([Box(s, x, top + row * (_HEIGHT + _WIDE_STACK), _WIDE, _HEIGHT) for row, s in enumerate(stops)])
    return columns


def _connect_wide(lane: Lane, columns: list[list[Box]]) -> list[Arrow]:
    arrows = []
    for leg, before, after in zip(lane.legs, columns, columns[1:], strict=False):
        start = (before[0].right, before[0].middle_y)
        paths = tuple(_lead_across(start, (box.x - _HEAD, box.middle_y)) for box in after)
        free = _WIDE_GAP - (_TRUNK if len(after) > 1 else _HEAD)
        arrows.append(Arrow(leg.job, leg.duration, paths, start[0] + free / 2, start[1] - 9, "middle"))
    if lane.shortcut:
        first, second = (columns[place + 1][0] for place in lane.shortcut)
        roof = f"M{first.middle_x:g} {first.y:g}v-12a8 8 0 0 1 8-8H{second.middle_x - 8:g}a8 8 0 0 1 8 8v{12 - _HEAD:g}"
        arrows.append(Arrow("", "", (roof,), 0.0, 0.0, "middle"))
    return arrows


def _lead_across(start: tuple[float, float], end: tuple[float, float]) -> str:
    """A straight line, or one that turns up or down shortly before its end, with rounded corners."""
    (x, y), (to_x, to_y) = start, end
    if y == to_y:
        return f"M{x:g} {y:g}H{to_x:g}"
    trunk, turn = to_x - _TRUNK + _HEAD, 7.0 if to_y > y else -7.0
    return f"M{x:g} {y:g}H{trunk - 7:g}q7 0 7 {turn:g}V{to_y - turn:g}q0 {turn:g} 7 {turn:g}H{to_x:g}"


def draw_tall(lanes: Sequence[Lane]) -> Drawing:
    """Draw the lanes beside each other, each from top to bottom."""
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    for index, lane in enumerate(lanes):
        placed = _place_tall(lane, _EDGE + index * (_TALL + _COLUMN_GAP))
        boxes += [box for leg in placed for box in leg]
        arrows += _connect_tall(lane, placed)
    width = _EDGE * 2 + len(lanes) * (_TALL + _COLUMN_GAP) - _COLUMN_GAP
    return Drawing("tall", width, max(box.bottom for box in boxes) + _NOTE, tuple(boxes), tuple(arrows))


def _place_tall(lane: Lane, x: float) -> list[list[Box]]:
    placed = [[Box(lane.start, x, _EDGE, _TALL, _HEIGHT)]]
    for leg in lane.legs:
        above = placed[-1][-1]
        top = above.bottom + _TALL_GAP + (_NOTE if above.stop.note else 0.0)
        placed.append(
            [Box(s, x, top + row * (_HEIGHT + _TALL_STACK), _TALL, _HEIGHT) for row, s in enumerate(leg.stops)]
        )
    return placed


def _connect_tall(lane: Lane, placed: list[list[Box]]) -> list[Arrow]:
    arrows = []
    for leg, before, after in zip(lane.legs, placed, placed[1:], strict=False):
        x, top = before[-1].middle_x, before[-1].bottom + (_NOTE if before[-1].stop.note else 0.0)
        path = f"M{x:g} {top:g}V{after[0].y - _HEAD:g}"
        arrows.append(Arrow(leg.job, leg.duration, (path,), x + 10, (top + after[0].y) / 2 - 4, "start"))
    return arrows
