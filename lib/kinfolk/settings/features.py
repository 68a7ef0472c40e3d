"""How items become tensors, and how tensors are fed."""

from __future__ import annotations

from typing import Annotated

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


class FeedSettings(Section):
    """How a pinned table is read into training."""

    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads of Petastorm's pool in each rank."""
    window_row_groups: Annotated[int, Field(ge=1, le=1024)] = 8
    """Row groups whose rows are shuffled together."""
    queue_bytes: Annotated[int, Field(ge=1 << 20)] = 256 << 20
    """Most bytes that decoded row groups may take in each rank: half of it is read ahead, a quarter is shuffled.

    A row group that is larger than its part is read and shuffled alone.
    """

    @property
    def read_ahead_bytes(self) -> int:
        """Most bytes of decoded row groups that wait to be shuffled."""
        return self.queue_bytes // 2

    @property
    def window_bytes(self) -> int:
        """Most bytes of a window; while it is put together it is in memory twice."""
        return self.queue_bytes // 4
