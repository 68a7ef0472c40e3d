"""Maximum spanning forests: the fewest links that hold the same items together at every threshold.

Two items are connected by links of at least t exactly when the forest connects them by links of at least t. The forest
of a union is the forest of the union of its parts' forests, so edges may be reduced task by task without a loss
(Kruskal, On the shortest spanning subtree of a graph, 1956; the sets by path halving, Tarjan and van Leeuwen, 1984).

Shape suffixes: E edges, F edges of the forest, N items.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinfolk.kernels.compiling import compiled

Codes = NDArray[np.int64]


def find_spanning_forest(left_E: Codes, right_E: Codes, similarity_E: NDArray[np.float64], items: int) -> Codes:
    """Positions of the edges of one maximum spanning forest, the strongest first; items are codes below `items`.

    Loops and repeated edges may be there; similarities may be infinite, but not NaN.
    """
    order_E = np.argsort(-similarity_E, kind="stable")
    return order_E[_flag_links(left_E[order_E], right_E[order_E], np.arange(items))]


@compiled
def _flag_links(left_E: Codes, right_E: Codes, parent_N: Codes) -> NDArray[np.bool_]:
    """Flag the edges that, taken in their order, connect what was not connected; `parent_N` is used up."""
    flag_E = np.zeros(len(left_E), np.bool_)
    for edge in range(len(left_E)):
        left, right = _find_root(parent_N, left_E[edge]), _find_root(parent_N, right_E[edge])
        if left != right:
            parent_N[max(left, right)] = min(left, right)
            flag_E[edge] = True
    return flag_E


@compiled
def _find_root(parent_N: Codes, item: int) -> int:
    while parent_N[item] != item:
        parent_N[item] = parent_N[parent_N[item]]
        item = parent_N[item]
    return item
