"""Pictures as pixels: what is transparent, turned, oblong, broken or huge."""

import contextlib
import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kinfolk.features.image import decode_picture
from kinfolk.features.rejects import FeatureError, FeatureReject

SIZE = 8


def encode(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def decode(content: bytes, size: int = SIZE, max_pixels: int = 1_000_000) -> Image.Image:
    pixels = decode_picture(content, size=size, max_pixels=max_pixels)
    assert len(pixels) == size * size * 3
    return Image.frombytes("RGB", (size, size), pixels)


def reject(content: bytes, max_pixels: int = 1_000_000) -> FeatureError:
    with pytest.raises(FeatureError) as caught:
        decode_picture(content, size=SIZE, max_pixels=max_pixels)
    return caught.value


@given(st.tuples(*[st.integers(0, 255)] * 4))
def test_transparent_pixels_are_laid_on_white(colour):
    *rgb, alpha = colour
    expected = [value * alpha / 255 + 255 * (255 - alpha) / 255 for value in rgb]
    came = decode(encode(Image.new("RGBA", (SIZE, SIZE), colour))).getpixel((3, 3))
    assert came == pytest.approx(expected, abs=1.01)


def test_all_kinds_of_transparency_are_laid_on_white():
    palette = Image.new("P", (SIZE, SIZE), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert decode(encode(palette, transparency=0)).getpixel((0, 0)) == (255, 255, 255)
    assert decode(encode(Image.new("LA", (SIZE, SIZE), (0, 0)))).getpixel((0, 0)) == (255, 255, 255)
    assert decode(encode(palette)).getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_many_formats_are_read(kind):
    came = decode(encode(Image.new("RGB", (20, 20), (200, 30, 30)), kind)).getpixel((4, 4))
    assert came == pytest.approx((200, 30, 30), abs=12)


def test_pixels_come_row_by_row():
    picture = Image.new("RGB", (SIZE, SIZE))
    picture.putpixel((5, 2), (10, 20, 30))
    pixels = decode_picture(encode(picture), size=SIZE, max_pixels=100)
    assert pixels[(2 * SIZE + 5) * 3 :][:3] == bytes([10, 20, 30])


def test_oblong_pictures_are_fitted_in_whole_on_white():
    came = decode(encode(Image.new("RGB", (64, 32), (0, 0, 255))))
    assert [came.getpixel((4, row)) for row in (0, 4, 7)] == [(255, 255, 255), (0, 0, 255), (255, 255, 255)]


def test_grey_pictures_of_sixteen_bits_keep_their_greys():
    came = decode(encode(Image.new("I;16", (SIZE, SIZE), 32768))).getpixel((4, 4))
    assert came == pytest.approx((128, 128, 128), abs=1)


def test_pictures_taken_on_their_side_are_turned():
    picture = Image.new("RGB", (16, 16), (255, 255, 255))
    picture.paste((0, 0, 0), (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    came = decode(encode(picture, "JPEG", exif=exif, quality=95))
    assert came.getpixel((1, 4))[0] > 200
    assert came.getpixel((6, 4))[0] < 50


def test_broken_pictures_are_turned_away_in_the_same_words_every_time():
    whole = encode(Image.effect_noise((64, 64), 80))
    for content in (b"", b"no picture", whole[: len(whole) // 2], whole[:40] + bytes(200)):
        error = reject(content)
        assert error.reason is FeatureReject.IMAGE_NOT_DECODABLE
        assert error.detail == reject(content).detail


@given(st.binary(max_size=60), st.integers(0, 400))
def test_garbage_is_either_decoded_or_turned_away(garbage, place):
    whole = encode(Image.effect_noise((32, 32), 80))
    with contextlib.suppress(FeatureError):
        decode(whole[:place] + garbage + whole[place + len(garbage) :])


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def test_huge_pictures_are_turned_away_before_they_are_decoded():
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    error = reject(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))))
    assert error.reason is FeatureReject.IMAGE_TOO_LARGE
    assert "100000 x 100000 pixels" in error.detail
    assert reject(encode(Image.new("RGB", (11, 10))), max_pixels=109).reason is FeatureReject.IMAGE_TOO_LARGE
    decode(encode(Image.new("RGB", (11, 10))), max_pixels=110)
