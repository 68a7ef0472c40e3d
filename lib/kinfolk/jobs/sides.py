"""What a join compares: the items of a side, by their embeddings or their texts, as the settings name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import JoinSettings, MatchSettings, Settings, SideSettings
from kinfolk.tables.catalog import CLEAN_ITEMS, ITEM_EMBEDDINGS
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from kinfolk.run import Run
    from kinfolk.tables.contract import Table


def find_source(settings: JoinSettings) -> Table:
    """The table that items come from."""
    return ITEM_EMBEDDINGS if settings.compares_vectors else CLEAN_ITEMS


def find_sides(settings: MatchSettings) -> tuple[SideSettings, SideSettings]:
    """The two sides. Raises SettingsError where one is missing, and where both are the same items."""
    left, right = settings.left, settings.right
    if left is None or right is None:
        missing = "left" if left is None else "right"
        raise SettingsError(
            f"matching.{missing} is not set; name both sides, such as --set matching.left.modality=text --set "
            "matching.right.modality=image"
        )
    if left.sources == right.sources and (left.modality == right.modality or not settings.compares_vectors):
        raise SettingsError(
            "both sides of matching are the same items; the join job finds what is similar among them (similarity)"
        )
    return left, right


def read_side(run: Run, side: SideSettings, settings: JoinSettings) -> DataFrame:
    """The items of a side: item_id, what is compared, and the column of the blocks if there is one.

    Raises SettingsError where the settings name a source or column that there is not, and NotFoundError where a table
    is missing.
    """
    from pyspark.sql import functions as F

    blocks = check_blocking(settings)
    check_sources(side, run.settings)
    if settings.compares_vectors:
        items = run.read(ITEM_EMBEDDINGS).where(F.col("modality") == side.modality).select("item_id", "embedding")
        if blocks or side.sources:
            known = run.read(CLEAN_ITEMS).select("item_id", "source", *(name for name in blocks if name != "source"))
            items = items.join(known, "item_id", "left")
    else:
        items = run.read(CLEAN_ITEMS).where(F.col("text").isNotNull())
    if side.sources:
        items = items.where(F.col("source").isin(*side.sources))
    return items.select("item_id", "embedding" if settings.compares_vectors else "text", *blocks)


def read_rows(side: SideSettings, settings: JoinSettings, everything: Settings) -> pa.Table:
    """The items of a side as they stand, without Spark: item_id, value, and the block if there is one.

    Raises as `read_side` does.
    """
    blocks, lake = check_blocking(settings), Lake(everything.lake.root)
    check_sources(side, everything)
    if settings.compares_vectors:
        rows = lake.read(ITEM_EMBEDDINGS, ["item_id", "embedding"], [("modality", "=", side.modality)])
    else:
        rows = lake.read(CLEAN_ITEMS, ["item_id", "text"])
        rows = rows.filter(rows["text"].is_valid())
    rows = rows.rename_columns(["item_id", "value"])
    if not blocks and not side.sources:
        return rows
    known = lake.read(CLEAN_ITEMS, ["item_id", *dict.fromkeys(["source", *blocks])])
    places = pc.index_in(rows["item_id"], known["item_id"].combine_chunks())
    for name in blocks:
        rows = rows.append_column("block", known[name].take(places))
    return rows.filter(pc.is_in(known["source"].take(places), pa.array(side.sources))) if side.sources else rows


def check_blocking(settings: JoinSettings) -> list[str]:
    """The column that items are told apart by, if any; SettingsError where clean_items has no such one."""
    if settings.blocking is None:
        return []
    allowed = [column.name for column in CLEAN_ITEMS.columns if column.type == "string" and column.role == "content"]
    allowed = [name for name in allowed if name not in ("item_id", "text")]
    if settings.blocking not in allowed:
        raise SettingsError(
            f"{settings.section}.blocking is {settings.blocking}; items are told apart by {', '.join(allowed)} of "
            "clean_items: choose one of these"
        )
    return [settings.blocking]


def check_sources(side: SideSettings, settings: Settings) -> None:
    """Raise SettingsError where a side names a source of items that there is not."""
    there = [source.name for source in settings.sources.items]
    unknown = [name for name in side.sources or () if name not in there]
    if unknown:
        raise SettingsError(
            f"a side of matching names the sources {', '.join(unknown)}; sources.items has {', '.join(there) or 'none'}"
        )


def check_items(run: Run, side: SideSettings, settings: JoinSettings, items: int) -> None:
    """Raise DataError where there are items, but none of those that the settings want."""
    section, source = settings.section, find_source(settings)
    if items or not run.rows(source):
        return
    of_sources = f" of the sources {', '.join(side.sources)}" if side.sources else ""
    if source is CLEAN_ITEMS:
        raise DataError(
            f"clean_items has {run.rows(source):,} rows, none of them{of_sources} with a text, which "
            f"{settings.measure} compares; choose cosine with --set {section}.measure=cosine"
        )
    raise DataError(
        f"item_embeddings has {run.rows(source):,} rows, none of them{of_sources} of modality {side.modality}; choose "
        f"another modality in the section {section}, or embed with {side.modality} among embedding.modalities"
    )
