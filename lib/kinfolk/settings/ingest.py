"""Which files are read, and which of their columns mean what."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from kinfolk.settings.section import ColumnName, Name, Path, Section

Format = Literal["csv", "parquet", "jsonl"]


def _check_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise ValueError(f"{name!r} is not an encoding such as utf-8 or latin-1") from None
    return name


class FileSource(Section):
    """Files of one kind that hold rows."""

    name: Name
    """Name of the source; it stands on every row."""
    path: Path
    """A file, a folder, or a pattern such as `data/2026-*/*.csv`; CSV and JSON lines may be compressed (.gz, .bz2, .xz,
    .zst)."""
    format: Format | None = None
    """csv, parquet or jsonl; by default what the file's name ends with says."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """Character between the values of a CSV line."""
    encoding: Annotated[str, AfterValidator(_check_encoding)] = "utf-8"
    """Encoding of CSV and JSON lines."""


class ItemSource(FileSource):
    """A table of items: which column holds what."""

    id: ColumnName
    """Column with the item's id."""
    subject: ColumnName | None = None
    """Column that says what the item shows; items of one subject stay on one side of the split. By default the id."""
    variant: ColumnName | None = None
    """Column that names the variant of the subject, empty for the plain one."""
    label: ColumnName | None = None
    """Column with the item's class."""
    text: ColumnName | None = None
    """Column with the item's text."""
    image: ColumnName | None = None
    """Column with the path of the item's picture, below `media_root`; in Parquet it may hold the picture itself."""
    audio: ColumnName | None = None
    """Column with the path of the item's sound, below `media_root`; in Parquet it may hold the sound itself."""
    media_root: Path | None = None
    """Folder that the paths of pictures and sounds are relative to; by default the folder of the file with the rows."""

    @model_validator(mode="after")
    def _has_content(self) -> ItemSource:
        if not (self.text or self.image or self.audio):
            raise ValueError("an item source needs at least one of text, image and audio")
        return self


class EventSource(FileSource):
    """A table of events: which column holds what."""

    basket: ColumnName
    """Column that says what was bought together."""
    item: ColumnName
    """Column with the id of the item bought."""
    customer: ColumnName | None = None
    """Column with the customer's id."""
    item_name: ColumnName | None = None
    """Column with the item's name."""
    category: ColumnName | None = None
    """Column with the item's category; levels of a path are divided by ` > `, the widest first: Food > Dairy > Milk."""
    segment: ColumnName | None = None
    """Column with the segment of the basket, such as country or store."""
    time: ColumnName | None = None
    """Column with the time of the event."""
    quantity: ColumnName | None = None
    """Column with the quantity; 1 where none is named."""
    price: ColumnName | None = None
    """Column with the price of one."""


class SourceSettings(Section):
    """What is read."""

    items: tuple[ItemSource, ...] = ()
    """Tables of items."""
    events: tuple[EventSource, ...] = ()
    """Tables of events."""

    @model_validator(mode="after")
    def _names_differ(self) -> SourceSettings:
        for kind in (self.items, self.events):
            names = [source.name for source in kind]
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise ValueError(f"source names have to differ; used more than once: {', '.join(repeated)}")
        return self


class IngestSettings(Section):
    """How files become raw tables."""

    keep_vanished: bool = False
    """Keep the rows of files that are gone; by default raw tables mirror the files that are there."""
    max_media_bytes: Annotated[int, Field(ge=1024, le=256 << 20)] = 16 << 20
    """Largest picture or sound file that is read, in bytes; a larger one is left out and its row rejected by clean."""
    batch_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Rows handed on at a time while a file is read."""
