"""Geometry: scales, labels, the road and the clusters of rules."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.report.charts import Series, draw_dots, draw_lines, nice_ticks, spread_out
from kinfolk.report.flow import Drawing, Lane, Leg, Stop, draw_tall, draw_wide
from kinfolk.report.graph import WIDTH, Link, draw_clusters

FINITE = st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: round(value, 6))
# The first drawing imports an optimizer, which takes longer than an example may.
unhurried = settings(deadline=None, max_examples=20)


@given(FINITE, FINITE)
def test_ticks_are_few_evenly_spaced_and_cover_the_values(one: float, other: float) -> None:
    low, high = sorted((one, other))
    ticks = nice_ticks(low, high)
    steps = [after - before for before, after in itertools.pairwise(ticks)]
    assert 2 <= len(ticks) <= 8
    assert max(steps) == pytest.approx(min(steps))
    slack = max(steps) * 1e-6
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack


@given(st.lists(st.floats(0, 200), min_size=1, max_size=6))
def test_labels_are_moved_apart_within_their_bounds(places: list[float]) -> None:
    moved = spread_out(places, 30.0, 0.0, 200.0)
    ordered = sorted(moved)
    assert all(after - before >= 30.0 - 1e-6 for before, after in itertools.pairwise(ordered))
    assert ordered[0] >= -1e-6
    assert ordered[-1] <= 200.0 + 1e-6


@given(st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 6)), min_size=1, max_size=20))
def test_lines_stay_inside_their_plot(values: list[float]) -> None:
    chart = draw_lines("Loss", [Series("trained", "trained", tuple(enumerate(values, start=1)))], is_share=False)
    points = [tuple(map(float, piece.split())) for piece in chart.lines[0].path[1:].split("L")]
    assert all(
        chart.left - 0.1 <= x <= chart.right + 0.1 and chart.top - 0.1 <= y <= chart.bottom + 0.1 for x, y in points
    )
    assert len(points) == max(len(values), 2)


def test_a_value_that_is_no_number_leaves_a_gap_and_a_single_one_is_a_level() -> None:
    curve = Series("trained", "trained", ((1, 0.2), (2, float("nan")), (3, 0.8)))
    chart = draw_lines("Recall", [curve, Series("raw_pixels", "raw pixels", ((0, 0.5),))], is_share=True)
    assert chart.lines[0].path.count("L") == 1
    assert [line.is_level for line in chart.lines] == [False, True]
    assert [line.value for line in chart.lines] == ["80.0%", "50.0%"]
    assert chart.y_ticks[0].label == "0%"
    assert chart.lines[1].end[1] == pytest.approx((chart.top + chart.bottom) / 2, abs=60)


def test_dots_lie_on_the_scale() -> None:
    chart = draw_dots("t", [("recall@1", [("trained", "trained", 1.0), ("untrained", "untrained", 0.25)])])
    ticks = {tick.label: tick.at for tick in chart.ticks}
    assert [dot.x for dot in chart.rows[0].dots] == [ticks["100%"], ticks["25%"]]


def make_lanes() -> list[Lane]:
    def stop(name: str, note: str = "") -> Stop:
        return Stop(name, "1,000", "rows", "table", 0.9, note)

    items = Lane(
        stop("files"),
        (
            *(Leg(f"job{n}", "3 s", (stop(f"t{n}", "-10 rejected" if n == 1 else ""),)) for n in range(5)),
            Leg("join", "9 s", (stop("pairs"), stop("neighbors"), stop("groups"))),
        ),
        shortcut=(2, 4),
    )
    return [items, Lane(stop("files"), (Leg("ingest", "", (stop("raw"),)),))]


@pytest.mark.parametrize("drawing", [draw_wide(make_lanes()), draw_tall(make_lanes())], ids=["wide", "tall"])
def test_boxes_of_the_road_lie_apart_and_inside(drawing: Drawing) -> None:
    assert len(drawing.boxes) == 11
    for one, other in itertools.combinations(drawing.boxes, 2):
        assert one.right <= other.x or other.right <= one.x or one.bottom <= other.y or other.bottom <= one.y
    assert all(b.x >= 0 and b.right <= drawing.width and b.y >= 0 and b.bottom <= drawing.height for b in drawing.boxes)


@pytest.mark.parametrize("drawing", [draw_wide(make_lanes()), draw_tall(make_lanes())], ids=["wide", "tall"])
def test_labels_of_jobs_lie_between_boxes(drawing: Drawing) -> None:
    labels = [(arrow.label_x, arrow.label_y) for arrow in drawing.arrows if arrow.job]
    assert len(labels) == 7
    assert not [
        (x, y) for x, y in labels for b in drawing.boxes if b.x < x < b.right and b.y < y < b.bottom
    ]  # fmt: skip


def make_links(seed_links: list[tuple[int, int]]) -> list[Link]:
    return [Link(f"p{a}", f"p{b}", 0.5, 10.0 - n / 10) for n, (a, b) in enumerate(seed_links)]


LINKS = st.lists(
    st.tuples(st.integers(0, 14), st.integers(0, 14)).filter(lambda link: link[0] != link[1]), min_size=1, max_size=25
)


@unhurried
@given(LINKS)
def test_boxes_of_a_cluster_do_not_overlap_and_fit_a_phone(pairs: list[tuple[int, int]]) -> None:
    names = {f"p{n}": f"PRODUCT NUMBER {n} WITH A LONG NAME" for n in range(15)}
    for cluster in draw_clusters(make_links(pairs), names):
        assert 2 <= len(cluster.nodes) <= 9
        for node in cluster.nodes:
            assert node.x - node.width / 2 >= 0
            assert node.x + node.width / 2 <= WIDTH
            assert node.y - node.height / 2 >= 0
            assert node.y + node.height / 2 <= cluster.height
        for one, other in itertools.combinations(cluster.nodes, 2):
            is_beside = abs(one.x - other.x) >= (one.width + other.width) / 2 - 1
            assert is_beside or abs(one.y - other.y) >= (one.height + other.height) / 2 - 1


@unhurried
@given(LINKS)
def test_links_are_drawn_once_strongest_first_and_back_and_forth_as_one(pairs: list[tuple[int, int]]) -> None:
    names = {f"p{n}": f"P{n}" for n in range(15)}
    drawn = {
        (link.source, link.target)
        for cluster in draw_clusters(make_links(pairs), names)
        for edge in cluster.edges
        for link in (edge.forth, edge.back)
        if link
    }
    slow = {(f"p{a}", f"p{b}") for a, b in pairs}
    assert drawn <= slow
    groups = [{f"p{a}", f"p{b}"} for a, b in pairs]
    if len(set().union(*groups)) <= 9:
        assert drawn == slow
    assert (f"p{pairs[0][0]}", f"p{pairs[0][1]}") in drawn


def test_products_are_arranged_in_the_order_of_their_links_not_of_a_set() -> None:
    pairs = [(1, 2), (2, 3), (3, 1), (4, 5), (6, 5), (7, 5), (8, 5), (9, 5)]
    names = {f"p{n}": f"P{n}" for n in range(10)}
    clusters = draw_clusters(make_links(pairs), names)
    assert [[node.name for node in c.nodes] for c in clusters] == [["P1", "P2", "P3"], [f"P{n}" for n in range(4, 10)]]
    assert clusters == draw_clusters(make_links(pairs), names)
