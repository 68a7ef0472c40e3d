"""Orders that follow a column: units together, classes in equal parts, rows by weight; the same on all ranks."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.errors import DataError, SettingsError
from kinfolk.feed.order import Random, Shard, Window, places_of_last_step
from kinfolk.feed.sampling import (
    PerClass,
    Sampling,
    Together,
    Weighted,
    check_sampling,
    read_values,
    sample_rows,
    shuffle_units,
)
from kinfolk.tensors import NO_CODE, codes

TOGETHER, WEIGHTED = Together("subject"), Weighted("weight")
UNITS = st.lists(st.integers(-1, 6), min_size=1, max_size=60)
WEIGHTS = st.lists(st.integers(0, 5) | st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=40)
SIZES = st.integers(1, 5)
quick = settings(max_examples=60)


def draw(sampling: Sampling, values: list, global_batch: int, *, size: int = 1, seed: int = 0, epoch: int = 0):
    """Rows of a window by step and place, as all ranks together are fed them."""
    values_N = np.array(values, dtype=float if isinstance(sampling, Weighted) else np.int64)
    window = Window(0, 0, len(values), -(-len(values) // global_batch))
    came: dict[tuple[int, int], int] = {}
    for rank in range(size):
        shard = Shard(rank, size, global_batch)
        rows, slots = sample_rows(window, values_N, shard, Random(seed), epoch, sampling)
        assert (np.diff(rows) >= 0).all()
        steps, places = np.divmod(slots, shard.batch_size)
        places += shard.first
        assert ((places >= shard.first) & (places < shard.last) & (steps >= 0) & (steps < window.steps)).all()
        of_rank = dict(zip(zip(steps.tolist(), places.tolist(), strict=True), rows.tolist(), strict=True))
        assert len(of_rank) == len(rows)
        assert not came.keys() & of_rank.keys()
        came |= of_rank
    return came


def batches(sampling: Sampling, values: list, global_batch: int, **options) -> list[list[int]]:
    """The rows of each step, in the order of their places."""
    came = draw(sampling, values, global_batch, **options)
    return [[came[place] for place in sorted(came) if place[0] == step] for step in range(1 + max(came)[0])]


@given(st.lists(st.integers(-1, 6), max_size=60), st.integers(0, 1000))
def test_a_shuffle_permutes_and_keeps_units_together(units, seed):
    order = shuffle_units(np.array(units, dtype=np.int64), np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(units)))
    came = [units[row] for row in order]
    for unit in set(units) - {-1}:
        places = [place for place, other in enumerate(came) if other == unit]
        assert places == list(range(places[0], places[0] + len(places)))


def test_rows_of_no_unit_are_spread():
    units = np.array([-1] * 500 + [7] * 4, dtype=np.int64)
    order = shuffle_units(units, np.random.default_rng(0))
    alone = order[units[order] < 0]
    assert np.abs(np.diff(alone)).mean() > 100


def test_each_order_of_units_is_as_likely_as_any_other():
    units = np.array([0, 0, 1, 2], dtype=np.int64)
    came = [tuple(dict.fromkeys(units[shuffle_units(units, np.random.default_rng(n))].tolist())) for n in range(3000)]
    counts = {order: came.count(order) for order in set(came)}
    assert len(counts) == 6
    assert all(400 < count < 600 for count in counts.values())


def test_each_order_within_a_unit_is_as_likely_as_any_other():
    came = Counter(tuple(shuffle_units(np.zeros(3, dtype=np.int64), np.random.default_rng(n))) for n in range(3000))
    assert len(came) == 6
    assert all(400 < count < 600 for count in came.values())


@quick
@given(UNITS, st.integers(1, 70), SIZES, st.integers(-5, 5))
def test_rows_drawn_together_come_once_on_any_number_of_ranks(units, global_batch, size, seed):
    came = draw(TOGETHER, units, global_batch, size=size, seed=seed)
    assert sorted(came.values()) == list(range(len(units)))
    assert came == draw(TOGETHER, units, global_batch, seed=seed)
    window = Window(0, 0, len(units), -(-len(units) // global_batch))
    assert [place for step, place in sorted(came) if step == window.steps - 1] == places_of_last_step(
        window, global_batch
    ).tolist()


@quick
@given(UNITS, st.integers(1, 70), st.integers(-5, 5))
def test_a_unit_is_parted_only_where_a_batch_ends(units, global_batch, seed):
    steps = batches(TOGETHER, units, global_batch, seed=seed)
    assert all(len(rows) == global_batch for rows in steps[:-1])
    flat = [units[row] for rows in steps for row in rows]
    for unit in set(units) - {NO_CODE}:
        places = [place for place, other in enumerate(flat) if other == unit]
        assert places == list(range(places[0], places[0] + len(places)))


@st.composite
def classes_per_bunch(draw):
    """Classes of a window's rows, the rows of a bunch, and a global batch of whole bunches."""
    rows_per_class = draw(st.integers(1, 4))
    classes = draw(st.lists(st.integers(-1, 8), min_size=1, max_size=80).filter(lambda drawn: max(drawn) >= 0))
    return classes, rows_per_class, rows_per_class * draw(st.integers(1, 6))


@quick
@given(classes_per_bunch(), SIZES, st.integers(-5, 5))
def test_batches_are_made_of_bunches_of_one_class(drawn, size, seed):
    classes, rows_per_class, global_batch = drawn
    sampling = PerClass("subject", rows_per_class)
    came = draw(sampling, classes, global_batch, size=size, seed=seed)
    assert came == draw(sampling, classes, global_batch, seed=seed)
    steps = -(-len(classes) // global_batch)
    assert sorted(came) == [(step, place) for step in range(steps) for place in range(global_batch)]
    bunches = np.array([classes[came[place]] for place in sorted(came)]).reshape(steps, -1, rows_per_class)
    assert (bunches == bunches[:, :, :1]).all()
    assert NO_CODE not in bunches


@quick
@given(classes_per_bunch(), st.integers(-5, 5))
def test_bunches_of_one_class_are_spread_evenly_over_the_steps(drawn, seed):
    classes, rows_per_class, global_batch = drawn
    steps = batches(PerClass("subject", rows_per_class), classes, global_batch, seed=seed)
    by_step = [Counter(classes[row] for row in rows) for rows in steps]
    for one in set(classes) - {NO_CODE}:
        bunches = [counts[one] // rows_per_class for counts in by_step]
        assert max(bunches) - min(bunches) <= 1


@quick
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 4), st.integers(1, 5), st.integers(0, 100))
def test_every_batch_has_so_many_classes_where_there_are_enough(wanted, rows_per_class, more, bunches, seed):
    classes = [one for one in range(wanted + more) for _ in range(rows_per_class * bunches)]
    for rows in batches(PerClass("subject", rows_per_class), classes, wanted * rows_per_class, seed=seed):
        assert Counter(Counter(classes[row] for row in rows).values()) == {rows_per_class: wanted}
        assert len(set(rows)) == len(rows)


@quick
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=8).filter(any),
    st.integers(0, 40),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(0, 100),
)
def test_rows_of_whole_bunches_are_drawn_evenly(bunches, without, rows_per_class, per_batch, seed):
    classes = [one for one, count in enumerate(bunches) for _ in range(count * rows_per_class)] + [NO_CODE] * without
    drawn = batches(PerClass("subject", rows_per_class), classes, per_batch * rows_per_class, seed=seed)
    counts = Counter(row for rows in drawn for row in rows)
    of_row = [counts[row] for row, one in enumerate(classes) if one != NO_CODE]
    assert max(of_row) - min(of_row) <= 1
    assert min(of_row) >= 1


def test_classes_with_too_few_rows_repeat_them():
    (rows,) = batches(PerClass("subject", 4), [0, 1, 1, 1, 1, 2, 2, 2], 12)
    assert Counter(rows) in [Counter([0] * 4 + [1, 2, 3, 4] + [5, 6, 7] + [row]) for row in (5, 6, 7)]


def test_all_rows_of_a_class_come_before_any_repeats():
    drawn = batches(PerClass("subject", 4), [0] * 5 + [1] * 8, 4)
    counts = Counter(row for rows in drawn for row in rows)
    assert sorted(counts[row] for row in range(5)) == [1, 1, 2, 2, 2]
    assert [counts[row] for row in range(5, 13)] == [1] * 8


@quick
@given(WEIGHTS, st.integers(1, 50), SIZES, st.integers(-5, 5))
def test_rows_come_as_often_as_their_weights_say(weights, global_batch, size, seed):
    if not any(weights):
        weights = [*weights, 1]
    came = draw(WEIGHTED, weights, global_batch, size=size, seed=seed)
    assert came == draw(WEIGHTED, weights, global_batch, seed=seed)
    steps = -(-len(weights) // global_batch)
    assert sorted(came) == [(step, place) for step in range(steps) for place in range(global_batch)]
    counts = Counter(came.values())
    for row, weight in enumerate(weights):
        expected = steps * global_batch * weight / sum(weights)
        assert abs(counts[row] - expected) < 1 + 1e-6
        assert weight or not counts[row]


def test_rows_of_equal_weights_come_once_in_any_order():
    orders = {tuple(batches(WEIGHTED, [2.5] * 6, 6, epoch=epoch)[0]) for epoch in range(20)}
    assert len(orders) == 20
    assert {tuple(sorted(order)) for order in orders} == {(0, 1, 2, 3, 4, 5)}


def test_what_is_rounded_up_is_left_to_chance():
    counts = Counter(row for epoch in range(400) for row in batches(WEIGHTED, [1, 1, 1, 5], 4, epoch=epoch)[0])
    assert [counts[row] / 400 for row in range(4)] == pytest.approx([0.5, 0.5, 0.5, 2.5], abs=0.1)


@pytest.mark.parametrize("sampling", [TOGETHER, PerClass("subject", 2), WEIGHTED])
def test_draws_differ_by_seed_and_epoch_and_repeat(sampling):
    values = [row % 10 + 1 for row in range(60)]
    first = draw(sampling, values, 20, seed=1, epoch=2)
    assert first == draw(sampling, values, 20, seed=1, epoch=2)
    assert first != draw(sampling, values, 20, seed=2, epoch=2)
    assert first != draw(sampling, values, 20, seed=1, epoch=3)


def test_windows_of_one_epoch_are_drawn_apart():
    def came(number, sampling):
        window, values_N = Window(number, 0, 40, 4), np.arange(1, 41)
        return sample_rows(window, values_N, Shard(0, 1, 10), Random(0), 0, sampling).slots_A.tolist()

    for sampling in (TOGETHER, PerClass("subject", 1)):
        assert came(0, sampling) != came(1, sampling)


@pytest.mark.parametrize("bad", [-0.5, float("nan"), float("inf")])
def test_bad_weights_are_refused(bad):
    with pytest.raises(DataError, match="finite numbers from 0 up; column weight holds others"):
        read_values(WEIGHTED, pa.chunked_array([[1.0], [bad]]))


def test_weights_may_be_whole_numbers_and_null_weighs_nothing():
    weights = read_values(WEIGHTED, pa.chunked_array([pa.array([2, None]), pa.array([0])]))
    assert weights.tolist() == [2.0, 0.0, 0.0]


def test_units_and_classes_are_told_apart_by_their_codes():
    column = pa.chunked_array([["a", None], ["a", "b"]])
    for sampling in (TOGETHER, PerClass("subject", 2)):
        assert read_values(sampling, column).tolist() == codes(column).values_B.tolist()


def test_a_window_without_a_row_to_draw_is_refused():
    with pytest.raises(DataError, match="column subject allows no row to be drawn from 3 rows"):
        draw(PerClass("subject", 1), [NO_CODE] * 3, 2)
    with pytest.raises(DataError, match="column weight allows no row to be drawn from 2 rows"):
        draw(WEIGHTED, [0.0, 0.0], 2)


def test_bunches_that_fill_no_global_batch_are_refused():
    shard = Shard(0, 2, 12)
    with pytest.raises(SettingsError, match="12 rows is no multiple of 5 rows per class"):
        check_sampling(PerClass("subject", 5), shard)
    for count in (0, -1, 13):
        with pytest.raises(SettingsError, match="rows_per_class is 1 to the global batch's 12 rows"):
            check_sampling(PerClass("subject", count), shard)
    for sampling in (PerClass("subject", 4), PerClass("subject", 12), TOGETHER, WEIGHTED):
        check_sampling(sampling, shard)
