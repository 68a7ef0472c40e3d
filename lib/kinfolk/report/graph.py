"""Geometry of the drawings of rules: products as boxes, rules as arrows, a drawing for each connected cluster."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from kinfolk.report.charts import Point
from kinfolk.report.formatting import wrap_name

# A drawing is as wide as a phone, so that its labels are never scaled down; it grows downwards instead.
WIDTH = 340.0
_MOST_PRODUCTS = 9
_BOX_WIDTH, _LINE_HEIGHT, _PADDING = 108.0, 13.0, 8.0
_LETTERS, _LINES = 15, 3
_GAP_X, _GAP_Y = 14.0, 26.0
_THINNEST, _THICKEST = 1.2, 3.6
_ROUNDS = 300


@dataclass(frozen=True)
class Link:
    """One product leads to another."""

    source: str
    target: str
    confidence: float
    lift: float


@dataclass(frozen=True)
class Node:
    """A product: its box by centre and size, and its name in lines."""

    name: str
    lines: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Edge:
    """An arrow between the borders of two boxes; `back` is the link of the other direction, where there is one."""

    source: str
    target: str
    start: Point
    end: Point
    thickness: float
    forth: Link
    back: Link | None


@dataclass(frozen=True)
class Cluster:
    """Products that rules connect."""

    height: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def draw_clusters(links: Sequence[Link], names: Mapping[str, str]) -> tuple[Cluster, ...]:
    """Draw links, given strongest first.

    A link that would join two clusters into one of more than nine products is not drawn, so that every drawing stays
    readable. Clusters come in the order of their strongest link.
    """
    graph = _select(links)
    lifts = [link.lift for _, _, link in graph.edges(data="link")]
    clusters = []
    for products in nx.weakly_connected_components(graph):
        clusters.append(_draw(_cut_out(graph, products), names, (min(lifts), max(lifts))))
    return tuple(clusters)


def _cut_out(graph: nx.DiGraph, products: set[str]) -> nx.DiGraph:
    """The part of a graph that holds some products, in the order of the graph; a view would follow the set's order."""
    part = nx.DiGraph()
    part.add_nodes_from(product for product in graph if product in products)
    part.add_edges_from((s, t, values) for s, t, values in graph.edges(data=True) if s in products)
    return part


def _select(links: Sequence[Link]) -> nx.DiGraph:
    graph = nx.DiGraph()
    for link in links:
        if graph.has_edge(link.source, link.target):
            continue
        joined = {link.source, link.target}
        for product in (link.source, link.target):
            if product in graph:
                joined |= nx.node_connected_component(graph.to_undirected(as_view=True), product)
        if len(joined) <= _MOST_PRODUCTS:
            graph.add_edge(link.source, link.target, link=link)
    return graph


def _draw(part: nx.DiGraph, names: Mapping[str, str], lifts: Point) -> Cluster:
    lines = {product: wrap_name(names[product], _LETTERS, _LINES) for product in part}
    heights = {product: len(text) * _LINE_HEIGHT + _PADDING for product, text in lines.items()}
    places = _arrange(part, heights)
    nodes = {
        product: Node(names[product], lines[product], *places[product], _BOX_WIDTH, heights[product])
        for product in part
    }
    edges = []
    for source, target, link in part.edges(data="link"):
        back = part.edges[target, source]["link"] if part.has_edge(target, source) else None
        if back is None or source < target:
            strongest = max(link.lift, back.lift if back else link.lift)
            edges.append(_draw_edge(nodes[source], nodes[target], (link, back), _thickness(strongest, lifts)))
    height = max(node.y + node.height / 2 for node in nodes.values()) + 6.0
    return Cluster(height, tuple(nodes.values()), tuple(edges))


def _thickness(lift: float, lifts: Point) -> float:
    low, high = lifts
    return _THINNEST + (_THICKEST - _THINNEST) * ((lift - low) / (high - low) if high > low else 0.5)


def _arrange(part: nx.DiGraph, heights: Mapping[str, float]) -> dict[str, Point]:
    """Centres of the boxes: distances follow the links (Kamada and Kawai, 1989), then boxes are moved apart."""
    drawn = nx.kamada_kawai_layout(part.to_undirected())
    tall = 40.0 + 52.0 * len(part)
    x_of = _fit([float(place[0]) for place in drawn.values()], _BOX_WIDTH / 2 + 2, WIDTH - _BOX_WIDTH / 2 - 2)
    y_of = _fit([float(place[1]) for place in drawn.values()], 24.0, tall - 24.0)
    places = {product: [x, y] for product, x, y in zip(drawn, x_of, y_of, strict=True)}
    for _ in range(_ROUNDS):
        if not _push_apart(places, heights):
            break
    top = min(y - heights[product] / 2 for product, (_, y) in places.items())
    return {product: (x, y - top + 4.0) for product, (x, y) in places.items()}


def _fit(values: list[float], low: float, high: float) -> list[float]:
    """Stretch values to the range from low to high; equal values go to its middle."""
    least, most = min(values), max(values)
    if most - least < 1e-6:
        return [(low + high) / 2] * len(values)
    return [low + (high - low) * (value - least) / (most - least) for value in values]


def _push_apart(places: dict[str, list[float]], heights: Mapping[str, float]) -> bool:
    """Move boxes that overlap a little way apart, along the shorter way; tells whether any did."""
    moved = False
    for one, other in itertools.combinations(places, 2):
        a, b = places[one], places[other]
        over_x = _BOX_WIDTH + _GAP_X - abs(a[0] - b[0])
        over_y = (heights[one] + heights[other]) / 2 + _GAP_Y - abs(a[1] - b[1])
        if over_x <= 0.5 or over_y <= 0.5:
            continue
        moved = True
        axis, over = (0, over_x) if over_x < over_y else (1, over_y)
        direction = 1.0 if a[axis] <= b[axis] else -1.0
        a[axis] -= direction * over / 2
        b[axis] += direction * over / 2
        for place in (a, b):
            place[0] = min(max(place[0], _BOX_WIDTH / 2 + 2), WIDTH - _BOX_WIDTH / 2 - 2)
    return moved


def _draw_edge(source: Node, target: Node, links: tuple[Link, Link | None], thickness: float) -> Edge:
    start = _border(source, target, 3.0 if links[1] is None else 7.0)
    return Edge(source.name, target.name, start, _border(target, source, 7.0), thickness, *links)


def _border(box: Node, other: Node, distance: float) -> Point:
    """Where the line from the centre of a box to another leaves the box, `distance` further out."""
    dx, dy = other.x - box.x, other.y - box.y
    shrink = min(
        (box.width / 2 + distance) / abs(dx) if dx else float("inf"),
        (box.height / 2 + distance) / abs(dy) if dy else float("inf"),
        0.5,
    )
    return box.x + dx * shrink, box.y + dy * shrink
