"""Rows of item_features as tensors: what encoders learn from and are judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from kinfolk.tensors import Column, Dense, Ragged, Reader, codes, pictures, ragged


@dataclass(frozen=True)
class ItemTensors:
    """Items of a batch: codes of their subjects, pictures [B, H, W, 3] and token ids.

    Equal subjects have equal codes, in every batch and on every rank.
    """

    subjects_B: Tensor
    images: Dense
    texts: Ragged


def item_readers(image_size: int) -> dict[str, Reader]:
    """How the columns that `item_tensors` needs become tensors; pictures are `image_size` pixels high and wide."""
    return {
        "subject_id": codes,
        "image": partial(pictures, height=image_size, width=image_size),
        "text_tokens": ragged,
    }


def item_tensors(columns: Mapping[str, Column]) -> ItemTensors:
    """Give the columns of `item_readers` their names."""
    subjects, images, texts = (columns[name] for name in ("subject_id", "image", "text_tokens"))
    assert isinstance(subjects, Dense), "codes are dense"
    assert isinstance(images, Dense), "pictures are dense"
    assert isinstance(texts, Ragged), "token lists are ragged"
    return ItemTensors(subjects.values_B, images, texts)
