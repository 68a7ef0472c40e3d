"""Medians of whole numbers, inside kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinfolk.kernels.compiling import Whole, kernel


@kernel
def find_median(values: NDArray[np.int64], size: Whole) -> float:
    """The median of the first so many values, 1 or more, which it puts in another order (Hoare, Find, CACM 4(7), 1961).

    That of an even number of them is halfway between the two in the middle.
    """
    middle, low, high = size // 2, 0, size - 1
    while low < high:
        pivot, left, right = values[(low + high) >> 1], low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left, right = left + 1, right - 1
        if middle <= right:
            high = right
        elif middle >= left:
            low = left
        else:
            break
    if size % 2:
        return float(values[middle])
    lower = values[0]
    for at in range(1, middle):
        lower = max(lower, values[at])
    return float(lower + values[middle]) / 2.0
