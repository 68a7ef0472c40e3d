"""The contrastive loss against a slow, obvious version of its formula."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.learning.losses import Embedded, LossWeights, batch_loss, contrastive_loss
from kinfolk.learning.world import SingleWorld


def make_embedded(rows: int, subjects: int, seed: int, *, dimension: int = 5) -> Embedded:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.nn.functional.normalize(
        torch.randn(rows, dimension, generator=generator, dtype=torch.float64), dim=1
    )
    return Embedded(
        vectors,
        torch.randint(0, subjects, (rows,), generator=generator),
        torch.rand(rows, generator=generator) < 0.8,
    )


def oracle(queries: Embedded, keys: Embedded, temperature: float, own: bool) -> tuple[float, int]:
    """The formula, one query and one key at a time."""
    total, count = 0.0, 0
    for q in range(len(queries.valid)):
        others = [k for k in range(len(keys.valid)) if keys.valid[k] and not (own and k == q)]
        positives = [k for k in others if keys.subjects[k] == queries.subjects[q]]
        if not queries.valid[q] or not positives:
            continue
        score = {k: math.exp(float(queries.vectors[q] @ keys.vectors[k]) / temperature) for k in others}
        total -= sum(math.log(score[p] / sum(score.values())) for p in positives) / len(positives)
        count += 1
    return total, count


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 12),
    keys=st.integers(1, 12),
    subjects=st.integers(1, 5),
    temperature=st.floats(0.05, 1),
    own=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_loss_is_its_formula(rows: int, keys: int, subjects: int, temperature: float, own: bool, seed: int) -> None:
    queries = make_embedded(rows, subjects, seed)
    offered = queries if own else make_embedded(keys, subjects, seed + 1)
    total, count = contrastive_loss(queries, offered, temperature=temperature, first_own_key=0 if own else None)
    expected, expected_count = oracle(queries, offered, temperature, own)
    assert int(count) == expected_count
    assert float(total) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_rows_that_are_not_valid_have_no_say_and_no_gradient() -> None:
    embedded = make_embedded(10, 3, seed=1)
    vectors = embedded.vectors.clone().requires_grad_()
    changed = torch.where(embedded.valid[:, None], embedded.vectors, -embedded.vectors)
    total, _ = contrastive_loss(
        replace(embedded, vectors=vectors), replace(embedded, vectors=vectors), temperature=0.1, first_own_key=0
    )
    same, _ = contrastive_loss(
        replace(embedded, vectors=changed), replace(embedded, vectors=changed), temperature=0.1, first_own_key=0
    )
    total.backward()
    assert float(total.detach()) == pytest.approx(float(same))
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()
    assert (vectors.grad[~embedded.valid] == 0).all()
    assert (vectors.grad[embedded.valid] != 0).any()


def test_batch_without_any_pair_costs_nothing_and_breaks_nothing() -> None:
    vectors = torch.eye(3, requires_grad=True)
    nothing = torch.zeros(3, dtype=torch.bool)
    pictures = Embedded(vectors, torch.arange(3), ~nothing)
    loss = batch_loss(pictures, Embedded(vectors, torch.arange(3), nothing), LossWeights(0.1, 1.0), SingleWorld())
    loss.backward()
    assert float(loss.detach()) == 0
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()


def test_batch_loss_weighs_its_three_terms() -> None:
    pictures = make_embedded(12, 4, seed=5)
    texts = make_embedded(12, 4, seed=6)
    expected = 0.0
    for queries, keys, own, weight in (
        (pictures, pictures, True, 1),
        (texts, pictures, False, 0.25),
        (pictures, texts, False, 0.25),
    ):
        total, count = oracle(queries, keys, 0.2, own)
        expected += weight * total / count
    single = [replace(e, vectors=e.vectors.float()) for e in (pictures, texts)]
    assert float(batch_loss(*single, LossWeights(0.2, 0.5), SingleWorld())) == pytest.approx(expected, rel=1e-5)
