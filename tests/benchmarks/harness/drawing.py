"""The picture of how cost grows, from the figures of a benchmark's last run.

Figures with keys such as `join.growth_seconds.sets.400000` are drawn: one line for each kind, seconds over what grows,
both on scales on which doubling is a step of one length. Beside each line a thin one doubles where it doubles.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

_KEY = re.compile(r"\.growth_seconds\.(?P<kind>.+)\.(?P<size>\d+)$")
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Those that people of all kinds of sight can tell apart (Okabe and Ito, 2008)."""
_INK, _FAINT = "#333333", "#b5b5b5"

Series = dict[str, list[tuple[int, float]]]


def read_growth(figures: Path) -> Series:
    """Seconds by size, of each kind that the file of a benchmark's figures holds; smallest sizes first."""
    series: Series = {}
    for figure in json.loads(figures.read_text(encoding="utf-8")):
        found = _KEY.search(figure["key"])
        if found and figure["value"] is not None:
            series.setdefault(found["kind"], []).append((int(found["size"]), figure["value"]))
    return {kind: sorted(points) for kind, points in series.items()}


def draw_growth(series: Series, target: Path) -> None:
    """Write the picture, as SVG; the same figures give the same file."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    style = {"svg.fonttype": "none", "svg.hashsalt": "kinfolk", "font.family": "sans-serif", "text.color": _INK}
    with mpl.rc_context(style):
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.add_subplot(xscale="log", yscale="log")
        for (kind, points), colour in zip(series.items(), _COLOURS * len(series), strict=False):
            sizes, seconds = zip(*points, strict=True)
            linear = [seconds[0] * size / sizes[0] for size in sizes]
            axes.plot(sizes, linear, color=_FAINT, linewidth=1, linestyle=(0, (4, 3)))
            axes.plot(sizes, seconds, color=colour, linewidth=2, marker="o", markersize=5)
            axes.annotate(f"{kind}, {seconds[-1]:.1f} s", (sizes[-1], seconds[-1]), (8, 0), color=colour,
                          textcoords="offset points", va="center")  # fmt: skip
        ticks = sorted({size for points in series.values() for size, _ in points})
        axes.xaxis.set_major_locator(mpl.ticker.FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda size, _: f"{size:,.0f}")
        axes.yaxis.set_major_locator(mpl.ticker.LogLocator(base=2))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} s")
        axes.grid(color="#e6e6e6", linewidth=0.6)
        axes.tick_params(length=0, labelcolor=_INK)
        axes.spines[:].set_visible(False)
        axes.set_xlim(ticks[0] / 1.15, ticks[-1] * 1.9)
        figure.savefig(target, format="svg", metadata={"Date": None})
