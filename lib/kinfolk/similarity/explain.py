"""Why two items are similar: the tokens that they share, or what each dimension of their vectors adds.

The similarity told is the join's, to the last bit: counts are those of the join's own tokens, and sums are taken in
float64 in the order of the dimensions. Nothing is compiled and no table is read, so that one pair is explained at once.

Shape suffixes: D dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from kinfolk.errors import DataError
from kinfolk.settings import JoinSettings, SetMeasure, TokenSettings, VectorMeasure
from kinfolk.similarity.sets.passages import Passage, Span, find_tokens, mark_passages

Value = str | Sequence[str | int | float | None]
"""What a join compares: a text, a list of strings or integers, or the coordinates of a vector."""

Exact = NDArray[np.float64]

Bar = tuple[str, float]
"""A name and a number, to be drawn beside others of their kind."""

_HALF, _MOST = 0.5, 0.9


@dataclass(frozen=True)
class Dimension:
    """One dimension, counted from 0: both coordinates, and what they contribute (`VectorExplanation`)."""

    place: int
    left: float
    right: float
    contribution: float


@dataclass(frozen=True)
class VectorExplanation:
    """Why two vectors are similar.

    `dimensions` come with the greatest contribution first, whatever its sign, ties by place. Under cosine and
    inner_product contributions add up to the similarity, and those below 0 speak against it; under euclidean they are
    shares of the squared distance, 0 to 1: what keeps the two apart. `half` and `most` are the fewest dimensions whose
    contributions add up to half and to 90% of the whole.
    """

    measure: VectorMeasure
    similarity: float
    dimensions: tuple[Dimension, ...]
    half: int
    most: int

    @property
    def summary(self) -> str:
        """How many dimensions carry it, in words."""
        whole = "the squared distance" if self.measure == "euclidean" else "the similarity"
        verb = "carries" if self.half == 1 else "carry"
        return f"{self.half} of {len(self.dimensions)} dimensions {verb} half of {whole}, {self.most} carry 90% of it"

    def bars(self, most: int) -> tuple[Bar, ...]:
        """The strongest dimensions, at most so many."""
        return tuple((f"dimension {d.place}", d.contribution) for d in self.dimensions[:most])

    def summarize_rest(self, shown: int) -> str:
        """What the dimensions behind the strongest ones add together, in words; empty where there are none."""
        rest = self.dimensions[shown:]
        added = math.fsum(d.contribution for d in rest)
        if len(rest) == 1:
            return f"the other dimension adds {added:.3g}"
        return f"the other {len(rest)} dimensions add {added:.3g} together" if rest else ""


@dataclass(frozen=True)
class SetExplanation:
    """Why two sets are similar: their tokens, each once, in the order in which the left or else the right has them.

    Of texts, the passages are the whole texts, cut where shared tokens begin and end; of lists there are none.
    """

    measure: SetMeasure
    similarity: float
    shared: tuple[str, ...]
    left_only: tuple[str, ...]
    right_only: tuple[str, ...]
    left_passages: tuple[Passage, ...]
    right_passages: tuple[Passage, ...]

    @property
    def summary(self) -> str:
        """How many tokens there are and are shared, in words."""
        left, right = len(self.shared) + len(self.left_only), len(self.shared) + len(self.right_only)
        verb = "is" if len(self.shared) == 1 else "are"
        return f"{len(self.shared):,} {verb} in both, of {left:,} tokens on the left and {right:,} on the right"

    def bars(self) -> tuple[Bar, ...]:
        """The number of tokens in both, and in one of the two alone."""
        counts = {"in both": self.shared, "only left": self.left_only, "only right": self.right_only}
        return tuple((name, float(len(tokens))) for name, tokens in counts.items())


Explanation = VectorExplanation | SetExplanation


def explain_pair(left: Value, right: Value, settings: JoinSettings) -> Explanation:
    """Explain what a join under these settings says of two items.

    Takes vectors under a measure of vectors, texts or lists under a measure of sets. Raises DataError where the join
    would turn one of the two away.

    >>> explain_pair("a red cup", "one red cup", JoinSettings(measure="jaccard", tokens=TokenSettings(length=2))).shared
    ('red cup',)
    """
    if settings.compares_vectors:
        return explain_vectors(_read_vector(left), _read_vector(right), cast(VectorMeasure, settings.measure))
    return explain_sets(left, right, cast(SetMeasure, settings.measure), settings.tokens)


def explain_vectors(left_D: Exact, right_D: Exact, measure: VectorMeasure) -> VectorExplanation:
    """Take the similarity of two vectors apart by dimensions.

    Coordinates are taken in float32, as the join does. Raises DataError for vectors of different lengths, without
    coordinates, not finite, or under cosine of length zero.

    >>> why = explain_vectors(np.array([3.0, 4.0]), np.array([4.0, 3.0]), "cosine")
    >>> why.similarity, [dimension.contribution for dimension in why.dimensions]
    (0.96, [0.48, 0.48])
    """
    left_D, right_D = _round(left_D), _round(right_D)
    _check_vectors(left_D, right_D, measure)
    similarity, contribution_D = _compare_vectors(left_D, right_D, measure)
    order = np.argsort(-np.abs(contribution_D), kind="stable")
    dimensions = (
        Dimension(int(d), float(left_D[d]), float(right_D[d]), float(contribution_D[d])) for d in order.tolist()
    )
    half, most = (_count_carriers(contribution_D, share) for share in (_HALF, _MOST))
    return VectorExplanation(measure, similarity, tuple(dimensions), half, most)


def explain_sets(left: Value, right: Value, measure: SetMeasure, tokens: TokenSettings) -> SetExplanation:
    """Take the similarity of two texts, or of two lists, apart by tokens. Raises DataError where one has no token."""
    spans = [_read_spans(value, tokens) for value in (left, right)]
    sides = [dict.fromkeys(_read_tokens(value, found)) for value, found in zip((left, right), spans, strict=True)]
    if not all(sides):
        raise DataError(
            f"the {'right' if sides[0] else 'left'} one of the two has no token, and an empty set resembles nothing; "
            "the join turns such items away"
        )
    shared = [token for token in sides[0] if token in sides[1]]
    wordings = {str(token) for token in shared}
    passages = [
        mark_passages(value, found, wordings) if isinstance(value, str) else ()
        for value, found in zip((left, right), spans, strict=True)
    ]
    return SetExplanation(
        measure,
        _compare_sets(len(shared), len(sides[0]), len(sides[1]), measure),
        tuple(map(str, shared)),
        tuple(str(token) for token in sides[0] if token not in sides[1]),
        tuple(str(token) for token in sides[1] if token not in sides[0]),
        *passages,
    )


def _read_vector(value: Value) -> Exact:
    if isinstance(value, str):
        raise DataError("a text came where a vector is compared; choose a measure of sets, such as jaccard")
    # A missing coordinate becomes NaN, as in the join.
    return np.array(value, np.float64)


def _round(vector_D: Exact) -> Exact:
    return vector_D.astype(np.float32).astype(np.float64)


def _check_vectors(left_D: Exact, right_D: Exact, measure: VectorMeasure) -> None:
    if len(left_D) != len(right_D) or not len(left_D):
        raise DataError(
            f"the vectors have {len(left_D)} and {len(right_D)} coordinates; to be compared they need equally many, "
            "at least one"
        )
    for side, vector_D in (("left", left_D), ("right", right_D)):
        problem = "not finite" if not np.isfinite(vector_D).all() else "zero, which has no direction"
        if problem == "not finite" or (measure == "cosine" and not vector_D.any()):
            raise DataError(f"the {side} vector is {problem}; the join turns such items away under {measure}")


def _compare_vectors(left_D: Exact, right_D: Exact, measure: VectorMeasure) -> tuple[float, Exact]:
    """The similarity, computed as the join's kernel does, and the contributions."""
    if measure == "euclidean":
        square_D = (left_D - right_D) ** 2
        square = _add_up(square_D)
        return -math.sqrt(square), square_D / square if square else square_D
    product_D = left_D * right_D
    product = _add_up(product_D)
    if measure == "inner_product":
        return product, product_D
    lengths = math.sqrt(_add_up(left_D * left_D) * _add_up(right_D * right_D))
    return min(1.0, max(-1.0, product / lengths)), product_D / lengths


def _add_up(term_D: Exact) -> float:
    """The sum, one term after the other: `np.sum` adds in another order."""
    return float(np.add.accumulate(term_D)[-1])


def _count_carriers(contribution_D: Exact, share: float) -> int:
    """The fewest dimensions whose contributions add up to a share of the whole."""
    whole = math.fsum(contribution_D)
    towards_D = np.sort(contribution_D * math.copysign(1.0, whole))[::-1]
    # Rounding alone calls for no further dimension.
    enough = share * abs(whole) * (1 - 1e-12)
    return int((np.add.accumulate(towards_D) < enough).argmin()) + 1 if whole else 0


def _read_spans(value: Value, tokens: TokenSettings) -> list[Span]:
    return find_tokens(value, tokens) if isinstance(value, str) else []


def _read_tokens(value: Value, spans: Sequence[Span]) -> list[str | int | float]:
    """The tokens of a text, or the elements of a list; a null is none."""
    if isinstance(value, str):
        return [span.wording for span in spans]
    return [element for element in value if element is not None]


def _compare_sets(common: int, left: int, right: int, measure: SetMeasure) -> float:
    if measure == "jaccard":
        return common / (left + right - common)
    return common / min(left, right) if measure == "containment" else float(common)
