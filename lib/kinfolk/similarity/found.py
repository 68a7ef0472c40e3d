"""What a kernel finds: pairs and neighbours, as codes.

A code is the position of an item among the items in the order of their ids, so codes compare as ids do.
Shape suffixes: P pairs, N items, K neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pairs:
    """Pairs of codes with their exact similarity; in a self-join left < right."""

    left_P: NDArray[np.int64]
    right_P: NDArray[np.int64]
    similarity_P: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.left_P)

    @staticmethod
    def none() -> Pairs:
        """No pairs at all."""
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))

    @staticmethod
    def joined(parts: Sequence[Pairs]) -> Pairs:
        """All pairs of the parts, in their order."""
        if not parts:
            return Pairs.none()
        return Pairs(
            np.concatenate([part.left_P for part in parts]),
            np.concatenate([part.right_P for part in parts]),
            np.concatenate([part.similarity_P for part in parts]),
        )


@dataclass(frozen=True)
class Neighbors:
    """The nearest other items of each of `row_N`, best first, equal ones by code; -1 where there are fewer."""

    row_N: NDArray[np.int64]
    code_NK: NDArray[np.int64]
    similarity_NK: NDArray[np.float64]

    @staticmethod
    def none() -> Neighbors:
        """The neighbours of no item."""
        return Neighbors(np.empty(0, np.int64), np.empty((0, 0), np.int64), np.empty((0, 0)))
