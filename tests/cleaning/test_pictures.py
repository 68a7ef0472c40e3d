"""Pictures: whole ones pass, damaged, oversized and foreign ones do not."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from kinfolk.cleaning.pictures import find_picture_fault
from kinfolk.cleaning.reasons import ItemReason


def encode(width: int, height: int, kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_whole_pictures_pass_and_the_first_half_of_one_does_not(kind: str) -> None:
    content = encode(40, 30, kind)
    assert find_picture_fault(content, 1200) is None
    assert find_picture_fault(content[: len(content) // 2], 1200) == ItemReason.IMAGE_UNDECODABLE


def test_one_pixel_too_many() -> None:
    assert find_picture_fault(encode(40, 30, "PNG"), 1199) == ItemReason.IMAGE_TOO_MANY_PIXELS


def test_a_bomb_is_told_by_its_header_alone() -> None:
    """60,000 x 60,000 pixels of one colour would take 3.6 GB; the header says so, and nothing is decoded."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
    assert find_picture_fault(bomb, 40_000_000) == ItemReason.IMAGE_TOO_MANY_PIXELS


@pytest.mark.parametrize(
    "content", [b"", b"not a picture", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\x89PNG"]
)
def test_what_is_no_picture(content: bytes) -> None:
    assert find_picture_fault(content, 1000) == ItemReason.IMAGE_UNDECODABLE


def test_a_flipped_byte_in_the_middle_is_noticed() -> None:
    content = bytearray(encode(40, 30, "PNG"))
    content[len(content) // 2] ^= 0xFF
    assert find_picture_fault(bytes(content), 1200) == ItemReason.IMAGE_UNDECODABLE
