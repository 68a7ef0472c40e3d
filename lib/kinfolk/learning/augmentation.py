"""Random changes to pictures that leave untouched what they show.

Shift, size, a slight turn and colour; no mirror image, since arrows, letters and hands mean something else mirrored.
Shapes: B rows, H height, W width, C colours.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample

# Standard deviations at strength 1.
_SHIFT = 0.1  # of half the picture's width
_LOG_SCALE = 0.15
_TURN_RADIANS = math.radians(8)
_COLOUR = 0.05  # of the mixing matrix's entries and of the brightness


def augment(pictures_BHWC: Tensor, generator: Generator, *, strength: float = 1.0) -> Tensor:
    """Pictures with values from 0 to 1, each changed at random; strength 0 returns them as they are.

    The same generator state gives the same changes. What moves in from outside repeats the border. Values may leave the
    range slightly.
    """
    if strength == 0:
        return pictures_BHWC
    return _move(_recolour(pictures_BHWC, generator, strength), generator, strength)


def _recolour(pictures_BHWC: Tensor, generator: Generator, strength: float) -> Tensor:
    """Mix the three colours by a matrix near the identity, about medium grey, and brighten or darken."""
    rows = len(pictures_BHWC)
    mix_BCC = torch.eye(3) + _COLOUR * strength * torch.randn(rows, 3, 3, generator=generator)
    brightness_BC = _COLOUR * strength * torch.randn(rows, 3, generator=generator)
    flat = (pictures_BHWC - 0.5).flatten(1, 2)
    return (flat @ mix_BCC + (0.5 + brightness_BC)[:, None]).view_as(pictures_BHWC)


def _move(pictures_BHWC: Tensor, generator: Generator, strength: float) -> Tensor:
    """Shift, scale each axis and turn, by bilinear interpolation."""
    rows, height, width, colours = pictures_BHWC.shape
    scale_B2 = torch.exp(_LOG_SCALE * strength * torch.randn(rows, 2, generator=generator))
    turn_B = _TURN_RADIANS * strength * torch.randn(rows, generator=generator)
    shift_B2 = _SHIFT * strength * torch.randn(rows, 2, generator=generator)
    cosine_B, sine_B = turn_B.cos(), turn_B.sin()
    turn_B22 = torch.stack([torch.stack([cosine_B, -sine_B], 1), torch.stack([sine_B, cosine_B], 1)], 1)
    affine_B23 = torch.cat([turn_B22 * scale_B2[:, None], shift_B2[:, :, None]], 2)
    grid = affine_grid(affine_B23, [rows, colours, height, width], align_corners=False)
    pictures_BCHW = pictures_BHWC.permute(0, 3, 1, 2)
    moved_BCHW = grid_sample(pictures_BCHW, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return moved_BCHW.permute(0, 2, 3, 1)
