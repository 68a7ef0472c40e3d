"""Who reads what: every row has one place, whatever the number of ranks, and ranks share the reading."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kinfolk.errors import SettingsError
from kinfolk.feed.order import (
    Piece,
    Places,
    Random,
    Shard,
    Stream,
    Window,
    count_rows,
    count_steps,
    cut_pieces,
    cut_windows,
    order_row_groups,
    place_rows,
    places_of_last_step,
    repeat_rows,
)

ROW_COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=20)
GLOBAL_BATCHES = st.integers(1, 130)
REMAINDERS = st.sampled_from(["pad", "drop", "wrap"])
MIXINGS = st.sampled_from(["none", "row_groups", "window"])
LIMITLESS = {"max_row_groups": 10**6, "max_bytes": 10**12}
quick = settings(max_examples=60)


@st.composite
def windows_and_batches(draw):
    """A window with a global batch that it goes with."""
    global_batch, steps = draw(GLOBAL_BATCHES), draw(st.integers(1, 5))
    start = draw(st.integers(0, 1000))
    rows = (steps - 1) * global_batch + draw(st.integers(1, global_batch))
    return Window(draw(st.integers(0, 3)), start, start + rows, steps), global_batch


def shards(size: int, global_batch: int) -> list[Shard]:
    return [Shard(rank, size, global_batch) for rank in range(size)]


def where(places: Places, shard: Shard) -> list[tuple[int, int, int]]:
    """The rank's rows, each with its step and its place in the global batch."""
    steps, places_B = np.divmod(places.slots_A, shard.batch_size)
    return list(zip(places.rows_A.tolist(), steps.tolist(), (places_B + shard.first).tolist(), strict=True))


def all_places(window: Window, size: int, global_batch: int, mixing="window", seed=0, epoch=0):
    """What all ranks together do with a window."""
    ranks = shards(size, global_batch)
    return [place for s in ranks for place in where(place_rows(window, s, Random(seed), epoch, mixing), s)]


@given(st.integers(1, 200), st.integers(1, 70))
def test_shards_part_the_global_batch(global_batch, size):
    ranks = shards(size, global_batch)
    assert [ranks[0].first, ranks[-1].last] == [0, global_batch]
    assert all(shard.last == following.first for shard, following in pairwise(ranks))
    widths = [shard.last - shard.first for shard in ranks]
    assert max(widths) - min(widths) <= 1
    assert {shard.batch_size for shard in ranks} == {max(widths)}


@pytest.mark.parametrize(("rank", "size", "global_batch"), [(2, 2, 1), (-1, 2, 1), (0, 0, 1), (0, 1, 0), (0, 1, -4)])
def test_impossible_shards_are_refused(rank, size, global_batch):
    with pytest.raises(SettingsError, match="rank < size"):
        Shard(rank, size, global_batch)


@pytest.mark.parametrize(
    ("rows", "remainder", "steps", "fed"),
    [
        (10, "pad", 3, 10),
        (10, "drop", 2, 8),
        (10, "wrap", 3, 12),
        (8, "pad", 2, 8),
        (8, "drop", 2, 8),
        (8, "wrap", 2, 8),
        (3, "drop", 0, 0),
        (0, "pad", 0, 0),
        (0, "wrap", 0, 0),
    ],
)
def test_rows_left_over_are_padded_dropped_or_wrapped(rows, remainder, steps, fed):
    assert count_steps(rows, 4, remainder) == steps
    assert count_rows(rows, 4, remainder) == fed


@given(st.integers(1, 60), st.integers(-5, 5), st.integers(0, 3))
def test_an_order_has_every_row_group_once(count, seed, epoch):
    for mixing in ("window", "row_groups"):
        assert sorted(order_row_groups(count, Random(seed), epoch, mixing).tolist()) == list(range(count))
    assert order_row_groups(count, Random(seed), epoch, "none").tolist() == list(range(count))


def test_orders_of_row_groups_differ_by_seed_and_epoch_and_repeat():
    def order(seed, epoch):
        return tuple(order_row_groups(20, Random(seed), epoch, "window").tolist())

    assert order(1, 2) == order(1, 2)
    assert len({order(seed, epoch) for seed in (-1, 0, 1) for epoch in range(4)}) == 12


def test_each_use_of_randomness_has_a_sequence_of_its_own():
    first = {Random(3).at(stream, *place).integers(1 << 62) for stream in Stream for place in [(0,), (1,), (0, 1)]}
    assert len(first) == 3 * len(Stream)
    assert Random(-1).at(Stream.UNITS).integers(1 << 62) == Random(2**64 - 1).at(Stream.UNITS).integers(1 << 62)


@quick
@given(ROW_COUNTS, GLOBAL_BATCHES, st.integers(1, 6), st.integers(1, 100), REMAINDERS)
def test_windows_cover_the_rows_in_whole_steps(row_counts, global_batch, max_row_groups, max_bytes, remainder):
    limits = {"max_row_groups": max_row_groups, "max_bytes": max_bytes}
    windows = cut_windows(row_counts, row_counts, global_batch, **limits, remainder=remainder)
    rows = sum(row_counts)
    usable = rows // global_batch * global_batch if remainder == "drop" else rows
    assert [window.number for window in windows] == list(range(len(windows)))
    assert [window.start for window in windows] == [0, *(window.stop for window in windows)][: len(windows)]
    assert (windows[-1].stop if windows else 0) == usable
    assert all(window.rows == window.steps * global_batch for window in windows[:-1])
    assert all(0 <= window.steps * global_batch - window.rows < global_batch for window in windows)
    assert all(window.steps >= 1 for window in windows)
    assert sum(window.steps for window in windows) == count_steps(rows, global_batch, remainder)


@quick
@given(ROW_COUNTS, st.data(), st.integers(1, 5), st.integers(1, 100))
def test_windows_of_single_rows_hold_as_many_row_groups_as_allowed_and_no_more(counts, data, max_row_groups, max_bytes):
    sizes = data.draw(st.lists(st.integers(1, 60), min_size=len(counts), max_size=len(counts)))
    limits = {"max_row_groups": max_row_groups, "max_bytes": max_bytes}
    windows = cut_windows(counts, sizes, 1, **limits, remainder="pad")
    ends = np.cumsum(counts)
    held = [[sizes[piece.turn] for piece in cut_pieces(window, np.arange(len(counts)), ends)] for window in windows]
    # With global batches of one row nothing is left over, so that windows are made of whole row groups.
    assert [size for group in held for size in group] == sizes
    for group in held:
        assert len(group) == 1 or (len(group) <= max_row_groups and sum(group) <= max_bytes)
    for group, following in pairwise(held):
        assert len(group) + 1 > max_row_groups or sum(group) + following[0] > max_bytes


@quick
@given(ROW_COUNTS, GLOBAL_BATCHES, st.integers(1, 6), st.integers(1, 100))
def test_limits_are_exceeded_only_until_a_window_has_a_step(row_counts, global_batch, max_row_groups, max_bytes):
    limits = {"max_row_groups": max_row_groups, "max_bytes": max_bytes}
    order, ends = np.arange(len(row_counts)), np.cumsum(row_counts)
    for window in cut_windows(row_counts, row_counts, global_batch, **limits, remainder="pad"):
        # Row groups that begin after the first step: those of the rows left over from the window before are not.
        later = [p.turn for p in cut_pieces(window, order, ends) if p.start >= global_batch]
        assert len(later) <= max_row_groups
        assert sum(row_counts[turn] for turn in later) <= max_bytes


def test_windows_take_row_groups_until_they_are_full():
    windows = cut_windows([10] * 5, [1] * 5, 4, max_row_groups=2, max_bytes=100, remainder="pad")
    assert windows == [Window(0, 0, 20, 5), Window(1, 20, 40, 5), Window(2, 40, 50, 3)]
    by_bytes = cut_windows([10] * 5, [6, 6, 6, 1, 1], 4, max_row_groups=9, max_bytes=10, remainder="drop")
    assert by_bytes == [Window(0, 0, 8, 2), Window(1, 8, 20, 3), Window(2, 20, 48, 7)]


def test_no_rows_make_no_windows():
    assert cut_windows([], [], 4, **LIMITLESS, remainder="pad") == []
    assert cut_windows([3], [1], 4, **LIMITLESS, remainder="drop") == []
    assert cut_windows([3], [1], 4, **LIMITLESS, remainder="wrap") == [Window(0, 0, 3, 1)]


@quick
@given(ROW_COUNTS, GLOBAL_BATCHES, st.integers(1, 6), REMAINDERS, st.integers(0, 100))
def test_pieces_tile_their_window(row_counts, global_batch, max_row_groups, remainder, seed):
    order = order_row_groups(len(row_counts), Random(seed), 0, "window")
    counts = [row_counts[group] for group in order]
    ends = np.cumsum(counts)
    sequence = [(int(group), row) for group, count in zip(order, counts, strict=True) for row in range(count)]
    limits = {"max_row_groups": max_row_groups, "max_bytes": 10**6}
    for window in cut_windows(counts, counts, global_batch, **limits, remainder=remainder):
        pieces = list(cut_pieces(window, order, ends))
        assert [pieces[0].start, pieces[-1].stop] == [0, window.rows]
        assert all(piece.stop == following.start for piece, following in pairwise(pieces))
        assert all(piece.start < piece.stop and order[piece.turn] == piece.row_group for piece in pieces)
        held = [(p.row_group, p.first_row + row) for p in pieces for row in range(p.stop - p.start)]
        assert held == sequence[window.start : window.stop]


def test_a_piece_says_where_its_rows_begin():
    pieces = list(cut_pieces(Window(1, 8, 14, 2), np.array([2, 0, 1]), np.array([5, 10, 15])))
    assert pieces == [Piece(1, 0, 0, 2, 3), Piece(2, 1, 2, 6, 0)]


@quick
@given(windows_and_batches(), st.integers(1, 5), MIXINGS, st.integers(-5, 5), st.integers(0, 3))
def test_every_row_of_a_window_has_one_place(window_and_batch, size, mixing, seed, epoch):
    window, global_batch = window_and_batch
    came = []
    for shard in shards(size, global_batch):
        places = place_rows(window, shard, Random(seed), epoch, mixing)
        assert (np.diff(places.rows_A) > 0).all()
        assert len(set(places.slots_A.tolist())) == len(places.slots_A)
        of_rank = where(places, shard)
        assert all(0 <= step < window.steps and shard.first <= place < shard.last for _, step, place in of_rank)
        came += of_rank
    assert sorted(row for row, _, _ in came) == list(range(window.rows))
    assert len({(step, place) for _, step, place in came}) == window.rows


@quick
@given(windows_and_batches(), st.integers(2, 5), MIXINGS, st.integers(-5, 5), st.integers(0, 3))
def test_the_place_of_a_row_is_the_same_for_every_number_of_ranks(window_and_batch, size, mixing, seed, epoch):
    window, global_batch = window_and_batch
    alone, shared = (all_places(window, ranks, global_batch, mixing, seed, epoch) for ranks in (1, size))
    assert sorted(alone) == sorted(shared)


@quick
@given(windows_and_batches(), st.integers(1, 60))
def test_padding_is_in_the_last_step_only_and_even_over_ranks(window_and_batch, size):
    window, global_batch = window_and_batch
    came = all_places(window, size, global_batch)
    full = [(step, place) for step in range(window.steps - 1) for place in range(global_batch)]
    assert sorted((step, place) for _, step, place in came if step < window.steps - 1) == full
    last = [place for _, step, place in came if step == window.steps - 1]
    assert sorted(last) == places_of_last_step(window, global_batch).tolist()
    for shard in shards(size, global_batch):
        filled = sum(shard.first <= place < shard.last for place in last)
        assert abs(filled - (shard.last - shard.first) * len(last) / global_batch) < 1


@quick
@given(windows_and_batches(), st.integers(0, 20))
def test_without_mixing_a_lane_keeps_its_rows_in_order(window_and_batch, seed):
    window, global_batch = window_and_batch
    assume(global_batch <= 48)
    # Lanes are then one place wide, and the rows of a place come step after step.
    came = sorted(all_places(window, 1, global_batch, "none", seed))
    for place in range(global_batch):
        steps = [step for _, step, other in came if other == place]
        assert steps == list(range(len(steps)))


def test_places_differ_by_seed_epoch_and_window_and_repeat():
    def came(seed, epoch, number):
        return tuple(all_places(Window(number, 0, 400, 5), 1, 80, "window", seed, epoch))

    assert came(1, 0, 2) == came(1, 0, 2)
    others = [came(1, 0, 2), came(2, 0, 2), came(1, 1, 2), came(1, 0, 4)]
    assert len(set(others)) == 4


def test_rows_of_a_lane_are_as_likely_at_one_place_as_at_another():
    window = Window(0, 0, 24, 3)
    counts = np.zeros((24, 3, 8))
    for epoch in range(1200):
        for row, step, place in all_places(window, 1, 8, epoch=epoch):
            counts[row, step, place] += 1
    # Lane 0 has rows 0 to 11 and four places of three steps, lane 1 the others: about 100 times each.
    assert (counts[:12, :, 4:] == 0).all()
    assert (counts[12:, :, :4] == 0).all()
    assert np.abs(counts[:12, :, :4] - 100).max() < 50
    assert np.abs(counts[12:, :, 4:] - 100).max() < 50


def rows_of(window: Window, shard: Shard) -> list[int]:
    return place_rows(window, shard, Random(0), 0, "window").rows_A.tolist()


def test_stretches_of_odd_windows_lie_in_reverse():
    ranks = shards(4, 16)
    even = [rows_of(Window(0, 0, 80, 5), shard) for shard in ranks]
    odd = [rows_of(Window(1, 80, 160, 5), shard) for shard in ranks]
    assert even == [list(range(20 * rank, 20 * rank + 20)) for rank in range(4)]
    assert odd == even[::-1]


def test_a_row_group_that_two_windows_share_belongs_to_one_rank():
    counts, global_batch = [10] * 12, 16
    windows = cut_windows(counts, counts, global_batch, max_row_groups=3, max_bytes=10**6, remainder="pad")
    assert any(window.stop % 10 for window in windows[:-1])
    for window, following in pairwise(windows):
        readers = [s for s in shards(4, global_batch) if window.rows - 1 in rows_of(window, s)]
        assert [0 in rows_of(following, shard) for shard in readers] == [True]


def test_one_rank_of_four_reads_about_a_quarter_of_the_row_groups():
    count, global_batch = 96, 32
    order, ends = order_row_groups(count, Random(3), 0, "window").tolist(), np.cumsum([50] * count).tolist()
    windows = cut_windows([50] * count, [1] * count, global_batch, max_row_groups=32, max_bytes=10**6, remainder="pad")
    read = []
    for shard in shards(4, global_batch):
        turns = set()
        for window in windows:
            rows = place_rows(window, shard, Random(3), 0, "window").rows_A
            pieces = cut_pieces(window, order, ends)
            turns |= {p.turn for p in pieces if ((rows >= p.start) & (rows < p.stop)).any()}
        read.append(len(turns))
    assert len(windows) == 3
    # At each end of a window's stretch another rank may need the same row group.
    assert max(read) <= count // 4 + len(windows)
    assert sum(read) <= count + 3 * len(windows)


@quick
@given(windows_and_batches(), st.integers(1, 5), st.integers(-5, 5))
def test_repeated_rows_fill_exactly_the_empty_places(window_and_batch, size, seed):
    window, global_batch = window_and_batch
    taken, filled = all_places(window, size, global_batch, seed=seed), []
    for shard in shards(size, global_batch):
        repeated = repeat_rows(window, shard, Random(seed), 0)
        assert (np.diff(repeated.rows_A) >= 0).all()
        filled += where(repeated, shard)
    places = [(step, place) for _, step, place in taken + filled]
    assert sorted(places) == [(step, place) for step in range(window.steps) for place in range(global_batch)]
    alone = Shard(0, 1, global_batch)
    assert sorted(filled) == sorted(where(repeat_rows(window, alone, Random(seed), 0), alone))
    counts = np.bincount([row for row, _, _ in filled], minlength=window.rows)
    assert len(counts) == window.rows
    assert counts.max() - counts.min() <= 1
