"""Random changes to pictures: repeatable, off at strength 0, and small."""

from __future__ import annotations

import torch

from kinfolk.learning.augmentation import augment


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_pictures() -> torch.Tensor:
    """A dark square, left of the middle, on white."""
    pictures = torch.ones(64, 32, 32, 3)
    pictures[:, 12:20, 4:12] = 0.1
    return pictures


def test_generator_decides_the_change() -> None:
    pictures = make_pictures()
    assert torch.equal(augment(pictures, seeded(1)), augment(pictures, seeded(1)))
    assert not torch.equal(augment(pictures, seeded(1)), augment(pictures, seeded(2)))
    assert torch.equal(augment(pictures, seeded(1), strength=0), pictures)


def test_every_picture_changes_in_its_own_way_and_only_slightly() -> None:
    pictures = make_pictures()
    changed = augment(pictures, seeded(0))
    assert changed.shape == pictures.shape
    assert (changed[0] - changed[1]).abs().max() > 0.01
    assert 0.005 < (changed - pictures).abs().mean() < 0.2


def test_no_picture_is_mirrored() -> None:
    darkness = (1 - augment(make_pictures(), seeded(0))).sum(3)
    assert (darkness[:, :, :16].sum((1, 2)) > darkness[:, :, 16:].sum((1, 2))).all()


def test_no_drift_on_average() -> None:
    pictures = make_pictures()[:1].expand(2000, -1, -1, -1)
    is_square = (augment(pictures, seeded(0)).mean(3) < 0.5).float()
    center = (is_square.sum(1) * torch.arange(32.0)).sum(1) / is_square.sum((1, 2))
    assert abs(float(center.mean()) - 7.5) < 0.5
