"""How items become tensors, and how tensors are fed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kinfolk.settings.section import Section
from kinfolk.settings.storage import Share


class FeatureSettings(Section):
    """How items become tensors."""

    image_size: Annotated[int, Field(ge=8, le=1024)] = 32
    """Height and width of every picture, in pixels."""
    max_image_pixels: Annotated[int, Field(ge=1, le=1 << 30)] = 40_000_000
    """Largest picture that is decoded, in pixels; clean turns pictures away earlier by its own limit."""
    held_out_share: Share = 0.2
    """Share of the subjects that training never sees, 0 to 1."""
    split_seed: int = 0
    """Seed of the split; another seed holds out other subjects."""
    min_token_items: Annotated[int, Field(ge=1)] = 2
    """Training items that a token has to occur in to enter the vocabulary."""
    max_vocabulary: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    """Most tokens in the vocabulary, the commonest first."""
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Most tokens kept of one text; the first ones."""


Mixing = Literal["none", "row_groups", "window"]
Remainder = Literal["pad", "drop", "wrap"]


class FeedSettings(Section):
    """How a pinned table is read into training."""

    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads of Petastorm's pool in each rank."""
    mixing: Mixing = "window"
    """What is in random order: row groups and the rows of each window, row groups only, or nothing."""
    window_row_groups: Annotated[int, Field(ge=1, le=65536)] = 32
    """Row groups whose rows are mixed together, over all ranks."""
    memory_bytes: Annotated[int, Field(ge=1 << 20)] = 512 << 20
    """Most bytes of decoded rows that all ranks together hold: one window is fed while the next one is filled.

    Row groups that are larger are taken one at a time. Ranks share a window, so each holds its part of this.
    """
    remainder: Remainder = "pad"
    """Rows that fill no batch at an epoch's end: padded with empty rows that a mask marks, dropped, or filled up with
    rows that come a second time."""

    @property
    def window_bytes(self) -> int:
        """Most bytes of a window: two are in memory, and a sixteenth is left for row groups being decoded."""
        return self.memory_bytes // 32 * 15
