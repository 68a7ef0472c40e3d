"""Items as cards: a name, and the picture as a small data URI."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageOps

from kinfolk.report.formatting import shorten_name
from kinfolk.report.pinned import PinnedTables
from kinfolk.settings.cleaning import PICTURE_FORMATS
from kinfolk.tables.catalog import CLEAN_ITEMS

# Twice the size in which the page shows a picture, for dense screens.
_LONGEST_EDGE = 128
_MOST_PIXELS = 64_000_000


@dataclass(frozen=True)
class Card:
    """What is shown of an item; `picture` is a data URI, None where the item has no picture that can be shown."""

    item_id: str
    subject_id: str
    name: str
    picture: str | None


def read_cards(tables: PinnedTables, item_ids: Sequence[str]) -> dict[str, Card]:
    """Cards of the named items; only their pictures are read. An item that is gone gets a card with its id alone."""
    columns = ("item_id", "subject_id", "text", "image")
    found = {row["item_id"]: row for row in tables.find(CLEAN_ITEMS, "item_id", item_ids, columns)}
    cards: dict[str, Card] = {}
    for item_id in item_ids:
        row = found.get(item_id, {"subject_id": item_id, "text": None, "image": None})
        name = shorten_name(row["text"] or item_id)
        cards[item_id] = Card(item_id, row["subject_id"], name, encode_picture(row["image"]) if row["image"] else None)
    return cards


def encode_picture(content: bytes) -> str | None:
    """A picture file as a data URI of a small WebP; None where it cannot be decoded or is larger than 64 megapixels."""
    try:
        with warnings.catch_warnings():
            # Size is checked here, before anything is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as opened:
                if opened.width * opened.height > _MOST_PIXELS:
                    return None
                picture = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    picture.thumbnail((_LONGEST_EDGE, _LONGEST_EDGE), Image.Resampling.LANCZOS)
    small = io.BytesIO()
    picture.save(small, "WEBP", quality=85, method=4)
    return "data:image/webp;base64," + base64.b64encode(small.getvalue()).decode("ascii")
