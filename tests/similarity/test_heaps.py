"""The heaps of neighbours: order by score and code, no neighbour twice, and threads that do not disturb each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from kinfolk.similarity.vectors.heaps import decode_codes, make_heaps, offer

SCORES = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(st.integers(0, 12), SCORES), max_size=40), st.integers(1, 6))
@example([(1, -0.0), (2, 0.0), (3, -1e-40), (4, 1e-40), (5, -3.0e38)], 3)
def test_the_best_stay_each_once(offers: list[tuple[int, float]], places: int) -> None:
    score_of = dict(reversed(offers))
    heaps = make_heaps(2, places)
    for code, _ in offers:
        # A neighbour has one score.
        offer(heaps, 1, code, np.float32(score_of[code]))
    best = sorted(score_of, key=lambda code: (-np.float64(np.float32(score_of[code])), -_sign(score_of[code]), code))
    assert decode_codes(-np.sort(-heaps.key_NK[1])).tolist() == (best + [-1] * places)[:places]
    last = -np.inf if len(best) < places else np.float32(score_of[best[places - 1]])
    assert heaps.floor_N[1] == last
    assert decode_codes(heaps.key_NK[0]).tolist() == [-1] * places


def _sign(score: float) -> int:
    """The bits of 0.0 come after those of -0.0."""
    return 0 if np.signbit(np.float32(score)) else 1


def test_threads_that_offer_to_one_row_lose_nothing() -> None:
    heaps = make_heaps(1, 100)
    order = np.random.default_rng(0).permutation(20_000)

    def offer_some(codes: np.ndarray) -> None:
        for code in codes.tolist():
            offer(heaps, 0, code, np.float32(code))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(offer_some, np.array_split(order, 4)))
    assert sorted(decode_codes(heaps.key_NK[0]).tolist()) == list(range(19_900, 20_000))
