"""Encoders of pictures and of texts into one space, and how they are kept on disk.

Shapes: B rows, H height, W width, N tokens of all rows together, D embedding size.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, normalize

from kinfolk.errors import DataError, NotFoundError

WEIGHTS_FILE = "encoder.safetensors"
CONFIG_FILE = "config.json"
FORMAT = 1

# Where in the picture a feature lies is kept as a grid of at most this many cells a side.
_GRID = 4


@dataclass(frozen=True)
class EncoderShape:
    """What has to be known to build an encoder; the weights are the rest.

    `image_size` is the height and width of every picture in pixels, `vocabulary_size` counts the tokens, the padding
    token 0 left out.
    """

    image_size: int
    channels: tuple[int, ...]
    vocabulary_size: int
    vocabulary_sha256: str
    token_size: int
    embedding_size: int


class PictureEncoder(nn.Module):
    """Convolution blocks, each halving height and width, then a projection of a coarse grid of what remains.

    Each picture is normalised by itself (group normalisation with one group; Wu & He 2018), so that its embedding
    depends neither on its neighbours in the batch nor on how many ranks share it.
    """

    def __init__(self, image_size: int, channels: Sequence[int], embedding_size: int) -> None:
        super().__init__()
        widths = [3, *channels]
        self.blocks = nn.Sequential(*(_block(*pair) for pair in itertools.pairwise(widths)))
        self.cells = min(_GRID, math.ceil(image_size / 2 ** len(channels)))
        self.projection = nn.Linear(widths[-1] * self.cells**2, embedding_size)

    def forward(self, pictures_BHWC: Tensor) -> Tensor:
        """Unit vectors [B, D] of pictures [B, H, W, 3] with values from 0 to 1."""
        pictures_BCHW = pictures_BHWC.permute(0, 3, 1, 2)
        features_BF = adaptive_avg_pool2d(self.blocks(pictures_BCHW), self.cells).flatten(1)
        return normalize(self.projection(features_BF), dim=1)


class TextEncoder(nn.Module):
    """Mean of the token vectors of a text, then a projection; the order of the tokens does not count."""

    def __init__(self, vocabulary_size: int, token_size: int, embedding_size: int) -> None:
        super().__init__()
        self.tokens = nn.EmbeddingBag(vocabulary_size + 1, token_size, mode="mean", include_last_offset=True)
        self.projection = nn.Linear(token_size, embedding_size)

    def forward(self, token_values_N: Tensor, offsets: Tensor) -> Tensor:
        """Unit vectors [B, D]; the tokens of row i are `token_values_N[offsets[i]:offsets[i + 1]]`."""
        return normalize(self.projection(self.tokens(token_values_N.to(offsets.dtype), offsets)), dim=1)


class Encoder(nn.Module):
    """A picture encoder and a text encoder whose embeddings share one space."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.pictures = PictureEncoder(shape.image_size, shape.channels, shape.embedding_size)
        self.texts = TextEncoder(shape.vocabulary_size, shape.token_size, shape.embedding_size)

    @torch.inference_mode()
    def encode_images(self, images_BHWC: Tensor) -> Tensor:
        """Unit vectors, float32 [B, D], of RGB pictures, uint8 [B, H, W, 3]. Raises DataError on another shape."""
        size = self.shape.image_size
        if tuple(images_BHWC.shape[1:]) != (size, size, 3) or images_BHWC.dtype != torch.uint8:
            raise DataError(
                f"pictures of shape {list(images_BHWC.shape[1:])} and type {images_BHWC.dtype} came, this encoder "
                f"takes [{size}, {size}, 3] of torch.uint8; featurize with its image_size, or train anew"
            )
        return self.pictures(scale_pictures(images_BHWC))  # type: ignore[no-any-return]

    @torch.inference_mode()
    def encode_texts(self, token_values_N: Tensor, offsets: Tensor) -> Tensor:
        """Unit vectors, float32 [B, D], of B texts given as token ids and B + 1 int64 offsets, as Arrow has lists.

        Raises DataError on a token id that the vocabulary does not have.
        """
        if token_values_N.numel() and int(token_values_N.max()) > self.shape.vocabulary_size:
            raise DataError(
                f"token id {int(token_values_N.max())} came, this encoder knows 1 to {self.shape.vocabulary_size}; "
                "the vocabulary was fitted again since: train anew"
            )
        return self.texts(token_values_N, offsets)  # type: ignore[no-any-return]


def _block(inputs: int, outputs: int) -> nn.Sequential:
    # Halving first leaves a quarter of the work to what follows.
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.GroupNorm(1, outputs),
        nn.ReLU(inplace=True),
    )


def scale_pictures(images_BHWC: Tensor) -> Tensor:
    """Bytes 0 to 255 as float32 from 0 to 1."""
    return images_BHWC.to(torch.float32).div_(255.0)


def build_encoder(shape: EncoderShape, *, seed: int) -> Encoder:
    """An untrained encoder; the same seed gives the same weights, and the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder(shape)


def hash_vocabulary(tokens: Sequence[str]) -> str:
    """SHA-256, in hexadecimal, of the tokens in the order of their ids; tells whether two vocabularies are the same."""
    return hashlib.sha256(json.dumps(list(tokens)).encode()).hexdigest()


def save_encoder(directory: str | Path, encoder: Encoder) -> None:
    """Write the weights (safetensors) and what is needed to read them (JSON), each file whole or not at all."""
    place = Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    config = {"format": FORMAT, "shape": asdict(encoder.shape), "signature": describe_signature(encoder.shape)}
    write_whole(place / WEIGHTS_FILE, save({name: t.contiguous() for name, t in encoder.state_dict().items()}))
    write_whole(place / CONFIG_FILE, (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


def load_encoder(directory: str | Path) -> Encoder:
    """Read an encoder that `save_encoder` wrote, ready for inference. Raises NotFoundError or DataError."""
    place = Path(directory)
    try:
        config = json.loads((place / CONFIG_FILE).read_text(encoding="utf-8"))
        weights = load_file(place / WEIGHTS_FILE)
    except FileNotFoundError as error:
        raise NotFoundError(f"{place} holds no encoder ({error}); run the train job first") from None
    except (ValueError, SafetensorError) as error:
        raise DataError(f"the encoder in {place} cannot be read ({error}); train one anew") from None
    if config.get("format") != FORMAT:
        raise DataError(
            f"the encoder in {place} is of format {config.get('format')}, this kinfolk reads {FORMAT}; train one anew"
        )
    encoder = Encoder(EncoderShape(**{**config["shape"], "channels": tuple(config["shape"]["channels"])}))
    encoder.load_state_dict(weights)
    return encoder.eval()


def describe_signature(shape: EncoderShape) -> dict[str, Any]:
    """Types and shapes that the two encoders take and give; -1 is any number of rows."""
    embedding = {"dtype": "float32", "shape": [-1, shape.embedding_size]}
    return {
        "images": {"inputs": {"images": {"dtype": "uint8", "shape": [-1, shape.image_size, shape.image_size, 3]}}},
        "texts": {
            "inputs": {
                "token_values": {"dtype": "int64", "shape": [-1]},
                "offsets": {"dtype": "int64", "shape": [-1]},
            }
        },
        "output": embedding,
    }


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a rerun after a kill, sees the old content or the new, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
