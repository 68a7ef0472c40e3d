"""Made-up data of which everything is known: drawings of each subject by two hands, and baskets with planted rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinfolk.samples.drawings import PlantedItems, write_drawings
from kinfolk.samples.purchases import PlantedBaskets, write_purchases
from kinfolk.settings import CleaningSettings, EventSource, ItemSource, SourceSettings


@dataclass(frozen=True)
class PlantedLake:
    """Files on disk, the settings that read them, and the truth about them."""

    folder: Path
    items: PlantedItems
    events: PlantedBaskets
    sources: SourceSettings
    cleaning: CleaningSettings


def write_planted_lake(folder: Path, *, seed: int, subjects: int, baskets: int) -> PlantedLake:
    """Write drawings and purchases below `folder` and return where they lie and what is true of them.

    The same arguments write the same bytes. There are 1 to 200 subjects, so many that they can differ from
    each other, and at least 100 baskets, so that every rule has room.
    """
    if not 1 <= subjects <= 200 or baskets < 100:
        raise ValueError(f"1 to 200 subjects and at least 100 baskets are needed; came: {subjects} and {baskets}")
    drawing, buying = np.random.default_rng(seed).spawn(2)
    items = write_drawings(folder / "drawings", subjects=subjects, random=drawing)
    events = write_purchases(folder / "purchases.csv", baskets=baskets, random=buying)
    return PlantedLake(
        folder,
        items,
        events,
        _sources(items.tables, events.table),
        CleaningSettings(cancellation_prefix="C"),
    )


def _sources(tables: Sequence[Path], purchases: Path) -> SourceSettings:
    drawings = [
        ItemSource(
            name=table.stem,
            path=str(table),
            id="id",
            subject="subject",
            label="label",
            text="text",
            image="image",
        )
        for table in tables
    ]
    bought = EventSource(
        name="purchases",
        path=str(purchases),
        basket="basket",
        customer="customer",
        item="item",
        item_name="name",
        time="time",
        quantity="quantity",
        price="price",
    )
    return SourceSettings(items=tuple(drawings), events=(bought,))
