"""Retrieval figures against a slow, obvious version: sort a list, look where things stand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.learning.retrieval import HeldOut, Side, chance_of_recall, euclidean_sides, evaluate_retrieval


def oracle(vectors: np.ndarray, items: HeldOut, same_modality: bool) -> dict[str, float]:
    """Every query of every source against the items of all other sources, or of its own where there is one only."""
    sources = sorted(set(items.sources.tolist()))
    directions = []
    for source in sources:
        rows = []
        for q in np.flatnonzero(items.sources == source):
            gallery = [
                g for g in range(len(vectors))
                if (items.sources[g] != source if len(sources) > 1 else not (same_modality and g == q))
            ]  # fmt: skip

            # Ties: what is relevant comes last.
            def ranked(relevant: dict[int, bool], gallery: list[int] = gallery, q: int = q) -> list[bool]:
                return [relevant[g] for g in sorted(gallery, key=lambda g: (-(vectors[q] @ vectors[g]), relevant[g]))]

            found = ranked({g: items.subjects[g] == items.subjects[q] for g in gallery})
            alike = ranked({g: items.labels[g] == items.labels[q] and items.labels[q] >= 0 for g in gallery})
            precisions = [sum(alike[: i + 1]) / (i + 1) for i, hit in enumerate(alike) if hit]
            rows.append((found.index(True) + 1 if any(found) else None, np.mean(precisions) if precisions else None))
        ranks = [rank for rank, _ in rows if rank]
        if not ranks:
            continue
        figures = {f"recall_at_{k}": np.mean([rank <= k for rank in ranks]) for k in (1, 5, 10)}
        figures["mean_reciprocal_rank"] = np.mean([1 / rank for rank in ranks])
        averages = [p for _, p in rows if p is not None]
        if averages:
            figures["mean_average_precision"] = np.mean(averages)
        directions.append(figures | {"queries": len(ranks)})
    names = {name for figures in directions for name in figures} - {"queries"}
    averaged = {n: float(np.mean([f[n] for f in directions if n in f])) for n in names}
    return averaged | ({"queries": sum(f["queries"] for f in directions)} if directions else {})


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 30),
    subjects=st.integers(1, 8),
    sources=st.integers(1, 3),
    same=st.booleans(),
    seed=st.integers(0, 999),
)
def test_figures_are_those_of_sorted_lists(count: int, subjects: int, sources: int, same: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    # Small whole numbers make many ties.
    vectors = random.integers(-1, 2, (count, 2)).astype(np.float32)
    items = HeldOut(
        subjects=random.integers(0, subjects, count),
        labels=random.integers(-1, 3, count),
        sources=random.integers(0, sources, count),
    )
    side = Side(np.arange(count), vectors)
    figures = evaluate_retrieval(side, side, items, is_same_modality=same)
    expected = oracle(vectors, items, same)
    assert {name: figures[name] for name in expected} == pytest.approx(expected)
    assert bool(expected) == bool(figures)


def test_blocks_do_not_change_the_figures() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(700, 4)).astype(np.float32)
    items = HeldOut(random.integers(0, 300, 700), random.integers(0, 5, 700), random.integers(0, 2, 700))
    side = Side(np.arange(700), vectors)
    figures = evaluate_retrieval(side, side, items, is_same_modality=True)
    expected = oracle(vectors.astype(np.float64), items, same_modality=True)
    assert {name: figures[name] for name in expected} == pytest.approx(expected)


def test_perfect_embeddings_find_everything() -> None:
    items = HeldOut(np.array([0, 1, 2, 0, 1, 2]), np.array([0, 0, 1, 0, 0, 1]), np.array([0, 0, 0, 1, 1, 1]))
    side = Side(np.arange(6), np.eye(3, dtype=np.float32)[items.subjects])
    figures = evaluate_retrieval(side, side, items, is_same_modality=True)
    assert figures["recall_at_1"] == 1
    assert figures["mean_reciprocal_rank"] == 1
    assert figures["gallery"] == 3
    assert figures["chance_at_1"] == pytest.approx(1 / 3)


def test_chance_is_what_random_orders_give() -> None:
    random = np.random.default_rng(1)
    hits = np.mean([random.permutation(40)[:3].min() < 5 for _ in range(20_000)])
    assert chance_of_recall(np.array([3]), np.array([40]))[5][0] == pytest.approx(hits, abs=0.01)
    assert chance_of_recall(np.array([0]), np.array([40]))[5][0] == 0
    assert chance_of_recall(np.array([1]), np.array([4]))[10][0] == 1


def test_euclidean_sides_put_the_nearest_first() -> None:
    random = np.random.default_rng(2)
    values = random.normal(size=(20, 6))
    queries, gallery = euclidean_sides(np.arange(20), values)
    by_product = np.argsort(-(queries.vectors @ gallery.vectors.T), axis=1)
    by_distance = np.argsort(np.linalg.norm(values[:, None] - values, axis=2), axis=1)
    assert (by_product == by_distance).all()
