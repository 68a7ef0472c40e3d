"""Picture files as pixels of one size."""

from __future__ import annotations

import io

from PIL import Image, ImageOps, UnidentifiedImageError

from kinfolk.features.rejects import FeatureError, FeatureReject
from kinfolk.settings.cleaning import PICTURE_FORMATS

# Pillow's own guard against pictures that unpack to gigabytes gives way to the limit that the settings name.
Image.MAX_IMAGE_PIXELS = None

WHITE = (255, 255, 255)


def decode_picture(content: bytes, *, size: int, max_pixels: int) -> bytes:
    """Decode a picture file to `size` x `size` x 3 bytes, rows first, RGB 0-255.

    Transparent pixels are laid on white; a picture that is not square is fitted in whole, with white beside it; one
    that says it was taken on its side is turned; of an animation the first picture counts. Raises FeatureError with
    IMAGE_TOO_LARGE before anything is decoded, and with IMAGE_NOT_DECODABLE for what is no picture, or a broken one.
    """
    try:
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as picture:
            if picture.width * picture.height > max_pixels:
                detail = f"{picture.width} x {picture.height} pixels; allowed: {max_pixels}"
                raise FeatureError(FeatureReject.IMAGE_TOO_LARGE, detail)
            upright = ImageOps.exif_transpose(picture)
            opaque = _lay_on_white(_to_eight_bits(upright))
    except FeatureError:
        raise
    except UnidentifiedImageError:
        # Its message holds an address in memory, and the same row has to give the same reason in every run.
        raise FeatureError(FeatureReject.IMAGE_NOT_DECODABLE, "not a picture of a known kind") from None
    # A broken file makes Pillow raise almost anything: OSError, SyntaxError, ValueError, struct.error, EOFError, …
    except Exception as error:  # noqa: BLE001
        raise FeatureError(FeatureReject.IMAGE_NOT_DECODABLE, f"{type(error).__name__}: {error}") from None
    return ImageOps.pad(opaque, (size, size), method=Image.Resampling.BICUBIC, color=WHITE).tobytes()


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    """Scale grey pictures of 16 bits, which Pillow would clip at 255."""
    if picture.mode.startswith("I"):
        return picture.point(lambda value: value * (1 / 256)).convert("L")
    return picture


def _lay_on_white(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    ground = Image.new("RGBA", layer.size, (*WHITE, 255))
    return Image.alpha_composite(ground, layer).convert("RGB")
