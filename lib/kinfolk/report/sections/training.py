"""What the encoder learned: curves over the epochs, and the last figures beside the baselines."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kinfolk.report.charts import DotChart, LineChart, Series, draw_dots, draw_lines
from kinfolk.report.formatting import format_words
from kinfolk.report.numbers import Curves, read_curves
from kinfolk.report.pinned import PinnedTables
from kinfolk.settings import Settings

ENCODERS = ("trained", "untrained", "raw_pixels", "chance")
_MEASURES = {
    "recall_at_1": "recall@1",
    "recall_at_5": "recall@5",
    "recall_at_10": "recall@10",
    "mean_reciprocal_rank": "MRR",
    "mean_average_precision": "mAP",
}
_WORDS = {"image": "picture", "text": "text", "audio": "sound"}


@dataclass(frozen=True)
class Task:
    """What is looked for with what, such as picture → picture, and the final figures of each measure by encoder.

    `queries` were looked up among `gallery` items.
    """

    title: str
    queries: int | None
    gallery: int | None
    encoders: tuple[str, ...]
    measures: tuple[tuple[str, tuple[float | None, ...]], ...]
    chart: DotChart


@dataclass(frozen=True)
class Training:
    """The last training run."""

    run_id: str
    epochs: int
    rows: int | None
    seconds: float | None
    curves: tuple[LineChart, ...]
    tasks: tuple[Task, ...]


def read_training(tables: PinnedTables, settings: Settings) -> Training | None:
    """Draw the last training run; None where nothing was trained."""
    del settings
    curves = read_curves(tables)
    if curves is None:
        return None
    metrics = {metric for _, metric in curves.values}
    tasks = sorted({metric.split(".")[0] for metric in metrics if "." in metric})
    charts = [_draw_curve(curves, "loss", "Loss", is_share=False)] if "loss" in metrics else []
    charts += [
        _draw_curve(curves, metric, f"{name_task(task)}, {_MEASURES['recall_at_1']}", is_share=True)
        for task in tasks
        if (metric := f"{task}.recall_at_1") in metrics and len(curves.values.get(("trained", metric), ())) > 1
    ]
    rows = curves.final("trained", "rows")
    seconds = curves.values.get(("trained", "seconds"), ())
    return Training(
        run_id=curves.run_id,
        epochs=max((points[-1][0] for points in curves.values.values()), default=0),
        rows=int(rows) if rows is not None else None,
        seconds=sum(value for _, value in seconds) if seconds else None,
        curves=tuple(chart for chart in charts if chart),
        tasks=tuple(task for name in tasks if (task := _final_figures(curves, name))),
    )


def name_task(task: str) -> str:
    """Name a task in words.

    >>> name_task("text_to_image")
    'text → picture'
    """
    return " → ".join(_WORDS.get(side, format_words(side)) for side in task.split("_to_"))


def _draw_curve(curves: Curves, metric: str, title: str, *, is_share: bool) -> LineChart | None:
    encoders = [encoder for encoder in ENCODERS if encoder in curves.encoders(metric)]
    series = [Series(encoder, format_words(encoder), curves.values[encoder, metric]) for encoder in encoders]
    drawable = [line for line in series if line.finite]
    return draw_lines(title, drawable, is_share=is_share) if drawable else None


def _final_figures(curves: Curves, task: str) -> Task | None:
    found = {(name, e): _final(curves, e, f"{task}.{name}") for name in _MEASURES for e in ENCODERS}
    names = [name for name in _MEASURES if any(found[name, e] is not None for e in ENCODERS)]
    encoders = [e for e in ENCODERS if any(found[name, e] is not None for name in names)]
    if not names:
        return None
    table = [(_MEASURES[name], tuple(found[name, e] for e in encoders)) for name in names]
    dots = [
        (name, [(e, format_words(e), value) for e, value in zip(encoders, values, strict=True) if value is not None])
        for name, values in table
    ]
    title = name_task(task)
    queries, gallery = (curves.final("trained", f"{task}.{name}") for name in ("queries", "gallery"))
    return Task(
        title,
        round(queries) if queries else None,
        round(gallery) if gallery else None,
        tuple(encoders),
        tuple(table),
        draw_dots(title, dots),
    )


def _final(curves: Curves, encoder: str, metric: str) -> float | None:
    """The last value of a metric; None where it was not measured or is no number."""
    value = curves.final(encoder, metric)
    return value if value is not None and math.isfinite(value) else None
