"""How encoders are trained and how they score."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kinfolk.settings.section import Section

Modality = Literal["image", "text"]
Channels = Annotated[int, Field(ge=1, le=4096)]


class LearningSettings(Section):
    """How the encoders are trained."""

    ranks: Annotated[int, Field(ge=1, le=4096)] = 2
    """Horovod ranks; each needs a Spark task slot."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Threads that each rank computes with."""
    network_interface: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] | None = None
    """Network interface that ranks talk over; by default the loopback on one machine, elsewhere one that all have."""
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 50
    """Passes over the training split."""
    warm_up_epochs: Annotated[int, Field(ge=0, le=100_000)] = 2
    """Epochs in which the learning rate rises; from then on it falls to zero."""
    batch_size: Annotated[int, Field(ge=2, le=1 << 20)] = 256
    """Rows of one step over all ranks together; a multiple of the ranks."""
    embedding_size: Annotated[int, Field(ge=2, le=8192)] = 64
    """Coordinates of an embedding."""
    channels: Annotated[tuple[Channels, ...], Field(min_length=1, max_length=8)] = (24, 48, 96)
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
    augmentation: Annotated[float, Field(ge=0, le=5)] = 1.0
    """Strength of the random changes to pictures: shift, size, slight turn and colour; 0 for none."""
    seed: int = 0
    """Seed of the initial weights, the order of the rows and the augmentation."""
    checkpoint_epochs: Annotated[int, Field(ge=1)] = 5
    """Epochs between checkpoints."""
    max_evaluation_items: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    """Most held-out items that the encoders are judged by; whole subjects are left out beyond that."""

    @model_validator(mode="after")
    def _ranks_share_evenly(self) -> LearningSettings:
        if self.batch_size % self.ranks:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be shared evenly by {self.ranks} ranks; "
                f"{self.ranks * max(1, self.batch_size // self.ranks)} can"
            )
        return self


class EmbeddingSettings(Section):
    """How items are embedded."""

    modalities: tuple[Modality, ...] = ("image", "text")
    """What is embedded of each item."""
    batch_size: Annotated[int, Field(ge=1, le=1 << 20)] = 512
    """Rows that go through the encoder at a time."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Threads that each Spark task computes with."""
