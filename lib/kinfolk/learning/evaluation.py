"""Encoders judged on held-out items, beside what needs no training: the untrained encoder, raw pixels, chance.

Shapes: B rows of a batch, N rows of all batches, D coordinates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from kinfolk.learning.encoders import Encoder, scale_pictures
from kinfolk.learning.items import ItemTensors
from kinfolk.learning.retrieval import BoolArray, HeldOut, Side, euclidean_sides, evaluate_retrieval

Figures = dict[str, dict[str, float]]
"""Figures by the name of the encoder, then by name, such as `image_to_image.recall_at_1`."""

# Raw pixels are compared at no more than this size, so that large pictures fit into memory.
_PIXELS_A_SIDE = 32
_CHANCE = "chance_at_"


@dataclass(frozen=True)
class HeldOutBatch:
    """Held-out rows as tensors: `labels_B` is below 0 where there is none, `is_asked_B` marks those that take part."""

    items: ItemTensors
    sources_B: Tensor
    labels_B: Tensor
    is_asked_B: Tensor


@dataclass
class _Gathered:
    """What is kept of every batch, in the order in which the rows came."""

    subjects: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    sources: list[Tensor] = field(default_factory=list)
    has_picture: list[Tensor] = field(default_factory=list)
    has_text: list[Tensor] = field(default_factory=list)
    pixels: list[Tensor] = field(default_factory=list)
    pictures: dict[str, list[Tensor]] = field(default_factory=dict)
    texts: dict[str, list[Tensor]] = field(default_factory=dict)


def judge_encoders(batches: Iterable[HeldOutBatch], encoders: Mapping[str, Encoder]) -> Figures:
    """Figures of each encoder for picture → picture and text → picture, of `raw_pixels`, and of `chance`.

    A figure is left out where the items do not allow it: without texts, without a second item of any subject.
    """
    gathered = _Gathered()
    for batch in batches:
        _add(gathered, batch, encoders)
    if not gathered.subjects:
        return {}
    items = HeldOut(
        subjects=torch.cat(gathered.subjects).numpy(),
        labels=torch.cat(gathered.labels).numpy(),
        sources=torch.cat(gathered.sources).numpy(),
    )
    has_picture, has_text = torch.cat(gathered.has_picture).numpy(), torch.cat(gathered.has_text).numpy()
    figures: Figures = {name: {} for name in (*encoders, "raw_pixels", "chance")}
    for name in encoders:
        pictures = _side(gathered.pictures[name], has_picture)
        texts = _side(gathered.texts[name], has_text)
        _put(figures, name, "image_to_image", evaluate_retrieval(pictures, pictures, items, is_same_modality=True))
        _put(figures, name, "text_to_image", evaluate_retrieval(texts, pictures, items, is_same_modality=False))
    pixels = _side(gathered.pixels, has_picture)
    asked, offered = euclidean_sides(pixels.rows, pixels.vectors)
    _put(figures, "raw_pixels", "image_to_image", evaluate_retrieval(asked, offered, items, is_same_modality=True))
    return {name: of_one for name, of_one in figures.items() if of_one}


@torch.inference_mode()
def _add(gathered: _Gathered, batch: HeldOutBatch, encoders: Mapping[str, Encoder]) -> None:
    items, asked_B = batch.items, batch.is_asked_B
    texts = items.texts
    gathered.subjects.append(items.subjects_B[asked_B])
    gathered.labels.append(batch.labels_B[asked_B])
    gathered.sources.append(batch.sources_B[asked_B])
    gathered.has_picture.append(items.images.is_present_B[asked_B])
    gathered.has_text.append((texts.is_present_B & (texts.offsets_B1.diff() > 0))[asked_B])
    gathered.pixels.append(_pixels(items.images.values_B[asked_B]))
    for name, encoder in encoders.items():
        gathered.pictures.setdefault(name, []).append(encoder.encode_images(items.images.values_B)[asked_B])
        gathered.texts.setdefault(name, []).append(encoder.encode_texts(texts.values_T, texts.offsets_B1)[asked_B])


def _pixels(images_BHWC: Tensor) -> Tensor:
    """Pictures as plain vectors [B, D], made smaller where they are large."""
    pictures_BCHW = scale_pictures(images_BHWC).permute(0, 3, 1, 2)
    return adaptive_avg_pool2d(pictures_BCHW, min(_PIXELS_A_SIDE, images_BHWC.shape[1])).flatten(1)


def _side(vectors: list[Tensor], is_present: BoolArray) -> Side:
    return Side(np.flatnonzero(is_present), torch.cat(vectors).numpy()[is_present])


def _put(figures: Figures, name: str, direction: str, found: dict[str, float]) -> None:
    """Enter the figures of one direction; what chance would give stands under a name of its own."""
    for figure, value in found.items():
        if figure.startswith(_CHANCE):
            figures["chance"][f"{direction}.recall_at_{figure.removeprefix(_CHANCE)}"] = value
        else:
            figures[name][f"{direction}.{figure}"] = value
