"""Pictures: can they be decoded, within a size, before anything later relies on it?"""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

from kinfolk.cleaning.reasons import ItemReason
from kinfolk.settings.cleaning import PICTURE_FORMATS

_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    ArithmeticError,
    LookupError,
    struct.error,
    zlib.error,
)


def find_picture_fault(content: bytes, max_pixels: int) -> ItemReason | None:
    """Why a picture cannot be used, or None; one with too many pixels is told by its header alone."""
    # Pillow's own limit would come first, and knows nothing of ours.
    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                return ItemReason.IMAGE_TOO_MANY_PIXELS
            picture.load()
    except _DECODING_ERRORS:
        return ItemReason.IMAGE_UNDECODABLE
    return None
