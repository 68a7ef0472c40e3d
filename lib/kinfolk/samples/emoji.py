"""Items of the demo: drawings of every emoji by two vendors, with the names and keywords of Unicode's CLDR."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinfolk.errors import FetchError
from kinfolk.samples.archives import Member, read_tar_members

COLUMNS = ("id", "subject", "variant", "label", "text", "image")
DRAWINGS = 3786
"""Drawings of each vendor, skin tones included."""
MAX_TABLE_BYTES = 32 << 20
MAX_PICTURE_BYTES = 1 << 20

_PICTURE = re.compile(r"package/img/(?P<vendor>[a-z]+)/64/(?P<name>[0-9a-f]+(?:-[0-9a-f]+)*)\.png")
_TABLE = "package/emoji.json"
_ANNOTATIONS = "package/annotations/en/annotations.json"
_PRESENTATION = "\ufe0f"


@dataclass(frozen=True)
class Drawing:
    """What one drawing shows: code points joined by hyphens, of the emoji and of its skin tones, and its words."""

    code: str
    subject: str
    variant: str
    label: str
    text: str

    @property
    def picture(self) -> str:
        """Name of the picture file, without its ending."""
        return self.code.lower()


def write_emoji(archives: dict[str, Path], annotations: Path, folder: Path) -> None:
    """Write `<vendor>.csv` and `<vendor>/*.png` for each vendor's archive; only drawings that every vendor has.

    Files carry the modification times of the archives, so that fetching again changes nothing. Raises FetchError when
    an archive does not hold what is expected.
    """
    names = _read_annotations(annotations)
    contents = {vendor: _read_vendor(vendor, archive) for vendor, archive in archives.items()}
    shared = set.intersection(*(set(pictures) for _, pictures in contents.values()))
    for vendor, (table, pictures) in contents.items():
        drawings = [drawing for drawing in list_drawings(json.loads(table.content), names) if drawing.picture in shared]
        if len(drawings) != DRAWINGS:
            raise FetchError(
                f"{archives[vendor].name} has {len(drawings)} drawings that all vendors have; expected {DRAWINGS}"
            )
        _write_vendor(
            folder,
            vendor,
            drawings,
            {drawing.picture: pictures[drawing.picture] for drawing in drawings},
        )
        os.utime(folder / f"{vendor}.csv", (table.modified, table.modified))


def list_drawings(table: Iterable[dict[str, Any]], names: dict[str, dict[str, Any]]) -> Iterator[Drawing]:
    """Every emoji of the vendors' table, each followed by its skin tones, with the CLDR names given by character."""
    for row in table:
        subject, label = str(row["unified"]), str(row["subcategory"])
        name, keywords = _words(row, names)
        yield Drawing(subject, subject, "", label, ", ".join([name, *keywords]))
        for tones, variation in row.get("skin_variations", {}).items():
            described = ", ".join(names[chr(int(tone, 16))]["tts"][0] for tone in tones.split("-"))
            yield Drawing(
                str(variation["unified"]),
                subject,
                tones,
                label,
                ", ".join([f"{name}: {described}", *keywords]),
            )


def _words(row: dict[str, Any], names: dict[str, dict[str, Any]]) -> tuple[str, list[str]]:
    """Name and keywords; CLDR names flags and some sequences by rule only, where the Unicode name has to do."""
    characters = "".join(chr(int(code, 16)) for code in row["unified"].split("-"))
    found = names.get(characters) or names.get(characters.replace(_PRESENTATION, ""))
    if found is None:
        return str(row["name"]).lower(), []
    name = str(found["tts"][0])
    return name, [keyword for keyword in found.get("default", []) if keyword != name]


def _read_annotations(archive: Path) -> dict[str, dict[str, Any]]:
    members = list(read_tar_members(archive, wanted=lambda name: name == _ANNOTATIONS, max_bytes=MAX_TABLE_BYTES))
    if not members:
        raise FetchError(f"{archive.name} has no {_ANNOTATIONS}")
    annotations: dict[str, dict[str, Any]] = json.loads(members[0].content)["annotations"]["annotations"]
    return annotations


def _read_vendor(vendor: str, archive: Path) -> tuple[Member, dict[str, Member]]:
    """The vendor's table, and its pictures by name."""

    def wanted(name: str) -> bool:
        match = _PICTURE.fullmatch(name)
        return name == _TABLE or (match is not None and match["vendor"] == vendor)

    table: Member | None = None
    pictures: dict[str, Member] = {}
    for member in read_tar_members(archive, wanted=wanted, max_bytes=MAX_TABLE_BYTES):
        if member.name == _TABLE:
            table = member
        elif len(member.content) <= MAX_PICTURE_BYTES:
            pictures[Path(member.name).stem] = member
    if table is None:
        raise FetchError(f"{archive.name} has no {_TABLE}")
    return table, pictures


def _write_vendor(folder: Path, vendor: str, drawings: list[Drawing], pictures: dict[str, Member]) -> None:
    (folder / vendor).mkdir(parents=True)
    for name, picture in pictures.items():
        path = folder / vendor / f"{name}.png"
        path.write_bytes(picture.content)
        os.utime(path, (picture.modified, picture.modified))
    with (folder / f"{vendor}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for drawing in sorted(drawings, key=lambda drawing: drawing.code):
            described = (drawing.subject, drawing.variant, drawing.label, drawing.text)
            writer.writerow(
                [
                    f"{vendor}/{drawing.code}",
                    *described,
                    f"{vendor}/{drawing.picture}.png",
                ]
            )
