"""How encoders are trained and how they score."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kinfolk.settings.section import Section

Modality = Literal["image", "text"]


class LearningSettings(Section):
    """How the encoders are trained."""

    ranks: Annotated[int, Field(ge=1, le=4096)] = 2
    """Horovod ranks; each needs a Spark task slot."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Threads that each rank computes with."""
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    """Passes over the training split."""
    batch_size: Annotated[int, Field(ge=2, le=1 << 20)] = 256
    """Rows of one step over all ranks together."""
    embedding_size: Annotated[int, Field(ge=2, le=8192)] = 64
    """Coordinates of an embedding."""
    channels: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = (24, 48, 96)
    """Channels of the picture encoder's convolution blocks."""
    token_size: Annotated[int, Field(ge=1, le=8192)] = 64
    """Coordinates of a token's vector in the text encoder."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 2e-3
    """Highest learning rate."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-4
    """Weight decay of the optimizer."""
    temperature: Annotated[float, Field(gt=0, le=10)] = 0.1
    """Temperature of the contrastive loss."""
    text_weight: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Weight of the text-to-picture loss beside the picture-to-picture loss."""
    seed: int = 0
    """Seed of the initial weights, the order of the rows and the augmentation."""
    checkpoint_epochs: Annotated[int, Field(ge=1)] = 5
    """Epochs between checkpoints."""


class EmbeddingSettings(Section):
    """How items are embedded."""

    modalities: tuple[Modality, ...] = ("image", "text")
    """What is embedded of each item."""
    batch_size: Annotated[int, Field(ge=1, le=1 << 20)] = 512
    """Rows that go through the encoder at a time."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Threads that each Spark task computes with."""
