"""Drawings of made-up subjects by two hands: the same shapes, a little moved, tinted and blurred by noise."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

HANDS = ("brush", "pencil")
SIZE = 48
"""Height and width of a drawing, in pixels."""
COLUMNS = ("id", "subject", "label", "text", "image")
SUBJECTS_PER_COPY = 10
"""Every so many subjects one drawing is there twice, byte for byte, under another id."""

_SHAPES = ("disc", "box", "kite")
_COLORS = {
    "red": (214, 40, 40),
    "green": (36, 160, 70),
    "blue": (40, 70, 210),
    "yellow": (240, 200, 40),
    "violet": (140, 50, 180),
    "orange": (240, 130, 30),
    "teal": (20, 150, 160),
    "black": (20, 20, 20),
}
_CORNERS = {
    "north-west": (13, 13),
    "north-east": (35, 13),
    "south-west": (13, 35),
    "south-east": (35, 35),
}


@dataclass(frozen=True)
class PlantedItems:
    """Tables of drawings and what is true of them.

    `twins` are the ids of each subject's two drawings; `copies` maps the id of each copy to its original;
    `faults` maps the id of each faulty row to the reason for which cleaning has to reject it.
    """

    tables: tuple[Path, ...]
    twins: tuple[tuple[str, str], ...]
    copies: dict[str, str]
    faults: dict[str, str]

    @property
    def good_ids(self) -> list[str]:
        """Ids of every row that is not faulty, sorted."""
        return sorted([*(item_id for pair in self.twins for item_id in pair), *self.copies])


@dataclass(frozen=True)
class _Stroke:
    shape: str
    color: str
    corner: str


def write_drawings(folder: Path, *, subjects: int, random: np.random.Generator) -> PlantedItems:
    """Write `<hand>.csv` and `<hand>/*.png` for both hands; the second hand's table ends with two faulty rows."""
    rows: dict[str, list[tuple[str, ...]]] = {hand: [] for hand in HANDS}
    for hand in HANDS:
        (folder / hand).mkdir(parents=True)
    strokes = _draw_subjects(subjects, random)
    for number, drawn in enumerate(strokes):
        for hand in HANDS:
            _save(_paint(drawn, random), folder / hand / f"{number:03d}.png")
            rows[hand].append(_row(hand, number, drawn))
    copies = _plant_copies(folder, rows[HANDS[0]])
    faults = _plant_faults(folder, rows[HANDS[1]])
    for hand in HANDS:
        _write_table(folder / f"{hand}.csv", rows[hand])
    twins = tuple((f"{HANDS[0]}/{number:03d}", f"{HANDS[1]}/{number:03d}") for number in range(subjects))
    return PlantedItems(tuple(folder / f"{hand}.csv" for hand in HANDS), twins, copies, faults)


def _draw_subjects(subjects: int, random: np.random.Generator) -> list[tuple[_Stroke, ...]]:
    """Subjects that are easy to tell apart: strokes in three corners, no two subjects with two strokes in common."""
    drawn: list[tuple[_Stroke, ...]] = []
    while len(drawn) < subjects:
        corners = sorted(random.choice(list(_CORNERS), size=3, replace=False))
        strokes = tuple(
            _Stroke(
                str(random.choice(_SHAPES)),
                str(random.choice(list(_COLORS))),
                str(corner),
            )
            for corner in corners
        )
        if all(len(set(strokes) & set(other)) < 2 for other in drawn):
            drawn.append(strokes)
    return drawn


def _row(hand: str, number: int, strokes: tuple[_Stroke, ...]) -> tuple[str, ...]:
    words = ", ".join(f"{stroke.color} {stroke.shape} {stroke.corner}" for stroke in strokes)
    return (
        f"{hand}/{number:03d}",
        f"{number:03d}",
        strokes[0].shape,
        words,
        f"{hand}/{number:03d}.png",
    )


def _paint(strokes: tuple[_Stroke, ...], random: np.random.Generator) -> NDArray[np.uint8]:
    """One hand's drawing: the subject's shapes moved by a pixel or not, tinted, and with noise on every pixel."""
    picture = Image.new("RGB", (SIZE, SIZE), (245, 245, 240))
    pen = ImageDraw.Draw(picture)
    for stroke in strokes:
        tint = random.integers(-8, 9, size=3)
        red, green, blue = (int(value) for value in np.clip(np.add(_COLORS[stroke.color], tint), 0, 255))
        x, y = np.add(_CORNERS[stroke.corner], random.integers(0, 2, size=2)).tolist()
        _draw_shape(pen, stroke.shape, (x, y), (red, green, blue))
    noise = random.normal(0, 6, size=(SIZE, SIZE, 3))
    painted: NDArray[np.uint8] = np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)
    return painted


def _draw_shape(
    pen: ImageDraw.ImageDraw,
    shape: str,
    middle: tuple[int, int],
    color: tuple[int, int, int],
) -> None:
    x, y = middle
    if shape == "disc":
        pen.ellipse((x - 10, y - 10, x + 10, y + 10), fill=color)
    elif shape == "box":
        pen.rectangle((x - 9, y - 9, x + 9, y + 9), fill=color)
    else:
        pen.polygon([(x, y - 12), (x + 12, y), (x, y + 12), (x - 12, y)], fill=color)


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    Image.fromarray(pixels).save(path, format="PNG")


def _plant_copies(folder: Path, rows: list[tuple[str, ...]]) -> dict[str, str]:
    """Add copies of every tenth drawing to the hand's rows, the first one included."""
    copies = {}
    for original in rows[::SUBJECTS_PER_COPY]:
        item_id, *described, image = original
        copy_id, copy_image = f"{item_id}-copy", image.replace(".png", "-copy.png")
        (folder / copy_image).write_bytes((folder / image).read_bytes())
        rows.append((copy_id, *described, copy_image))
        copies[copy_id] = item_id
    return copies


def _plant_faults(folder: Path, rows: list[tuple[str, ...]]) -> dict[str, str]:
    """Add a row whose picture is cut off and one whose picture is not there."""
    item_id, *described, image = rows[0]
    whole = (folder / image).read_bytes()
    torn, lost = (f"{item_id}-{fault}" for fault in ("torn", "lost"))
    (folder / f"{torn}.png").write_bytes(whole[: len(whole) // 2])
    rows.extend((fault, *described, f"{fault}.png") for fault in (torn, lost))
    return {torn: "image_undecodable", lost: "image_missing"}


def _write_table(path: Path, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
