"""Rows of files as DataFrames in the shape of the raw tables, one task a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from kinfolk.settings import EventSource, FileSource, IngestSettings, ItemSource
from kinfolk.sources.delimited import read_csv
from kinfolk.sources.files import Listed, format_of, media_place, source_filesystem
from kinfolk.sources.headers import columns_named
from kinfolk.sources.json_lines import read_json
from kinfolk.sources.media import MediaReader
from kinfolk.sources.parquet import read_parquet
from kinfolk.sources.rows import RowBatch
from kinfolk.tables.catalog import RAW_EVENTS, RAW_ITEMS
from kinfolk.tables.contract import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_EVENT_COLUMNS = {
    "basket": "basket_id",
    "customer": "customer_id",
    "item": "item_id",
    "item_name": "item_name",
    "category": "category",
    "segment": "segment",
    "time": "event_time",
    "quantity": "quantity",
    "price": "price",
}
_ITEM_COLUMNS = {
    "id": "item_id",
    "subject": "subject_id",
    "variant": "variant",
    "label": "label",
    "text": "text",
}
_MEDIA_BATCH_BYTES = 16 << 20
_PLAN = pa.schema([("position", pa.int64()), ("source", pa.string()), ("file", pa.string()), ("path", pa.string())])

ReadFile = Callable[[str, str, str], Iterator[pa.RecordBatch]]
"""Reads the file of a source: name of the source, path below the source's folder, path to open."""


def plan_files(listed: Sequence[Listed]) -> pa.Table:
    """One row for each file to read: position, name of the source, path below the source's folder, path to open."""
    files = [(source.name, file.file, file.path) for source, found in listed for file in found]
    rows = [dict(zip(_PLAN.names, (position, *file), strict=True)) for position, file in enumerate(files)]
    return pa.Table.from_pylist(rows, schema=_PLAN)


def read_events(plan: DataFrame, sources: Sequence[EventSource], settings: IngestSettings) -> DataFrame:
    """The rows of planned files in the shape of raw_events, with `reject_reason` where a row cannot be read."""
    by_name = {source.name: source for source in sources}
    schema = raw_schema(RAW_EVENTS)

    def read(name: str, file: str, path: str) -> Iterator[pa.RecordBatch]:
        source = by_name[name]
        for batch in _read_file(source, path, settings.batch_rows):
            values = _rename(batch, source, _EVENT_COLUMNS)
            if source.quantity is None:
                values["quantity"] = pa.array(np.full(len(batch.rows), "1"), pa.string())
            yield from _assemble(batch, values, name, file, schema)

    return _read_each(plan, read, RAW_EVENTS)


def read_items(plan: DataFrame, sources: Sequence[ItemSource], settings: IngestSettings) -> DataFrame:
    """The rows of planned files in the shape of raw_items, with the content of the pictures and sounds they name.

    A picture or sound that cannot be read leaves its content null and says why in `image_problem` or `audio_problem`.
    """
    by_name = {source.name: source for source in sources}
    schema = raw_schema(RAW_ITEMS)

    def read(name: str, file: str, path: str) -> Iterator[pa.RecordBatch]:
        source = by_name[name]
        with MediaReader(media_place(source, path), settings.max_media_bytes) as reader:
            batch_rows = reader.files_at_a_time if source.image or source.audio else settings.batch_rows
            for batch in _read_file(source, path, batch_rows):
                values = _rename(batch, source, _ITEM_COLUMNS)
                values.setdefault("subject_id", values["item_id"])
                values |= _read_media(reader, batch, "image", source.image)
                values |= _read_media(reader, batch, "audio", source.audio)
                yield from _assemble(batch, values, name, file, schema)

    return _read_each(plan, lambda *place: merge_batches(read(*place), settings.batch_rows), RAW_ITEMS)


def merge_batches(batches: Iterable[pa.RecordBatch], max_rows: int) -> Iterator[pa.RecordBatch]:
    """Put small batches together until they have `max_rows` rows or 16 MiB; handing on each costs something."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) >= max_rows or sum(b.nbytes for b in held) >= _MEDIA_BATCH_BYTES:
            yield pa.concat_batches(held)
            held = []
    if held:
        yield pa.concat_batches(held)


def raw_schema(table: Table) -> pa.Schema:
    """The content columns of a raw table, and why a row cannot enter it."""
    fields = [field.with_nullable(nullable=True) for field in table.arrow_schema() if field.name in table.content]
    return pa.schema([*fields, pa.field("reject_reason", pa.string()), pa.field("reject_detail", pa.string())])


def _read_each(plan: DataFrame, read: ReadFile, table: Table) -> DataFrame:
    """Read each planned file in a task of its own."""

    def read_planned(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for row in batch.to_pylist():
                yield from read(row["source"], row["file"], row["path"])

    types = {column.name: column.type for column in table.columns}
    declared = ", ".join(f"`{name}` {types.get(name, 'string')}" for name in raw_schema(table).names)
    return plan.repartitionByRange(max(1, plan.count()), "position").mapInArrow(read_planned, declared)


def _read_file(source: FileSource, path: str, batch_rows: int) -> Iterator[RowBatch]:
    filesystem = source_filesystem(source)
    columns = list(dict.fromkeys(columns_named(source).values()))
    match format_of(source, path):
        case "csv":
            batches = read_csv(filesystem, path, source, columns=columns)
        case "jsonl":
            batches = read_json(filesystem, path, source, columns=columns, batch_rows=batch_rows)
        case "parquet":
            content = [source.image or "", source.audio or ""] if isinstance(source, ItemSource) else []
            batches = read_parquet(filesystem, path, columns=columns, content=content, batch_rows=batch_rows)
    for batch in batches:
        yield from batch.slices(batch_rows)


def _rename(batch: RowBatch, source: FileSource, names: Mapping[str, str]) -> dict[str, pa.Array]:
    named = columns_named(source)
    return {names[meaning]: batch.columns[name] for meaning, name in named.items() if meaning in names}


def _read_media(reader: MediaReader, batch: RowBatch, kind: str, column: str | None) -> dict[str, pa.Array]:
    if column is None:
        return {}
    names = batch.columns[column].to_pylist()
    media = reader.read_all(names)
    return {
        f"{kind}_file": pa.array([name if isinstance(name, str) else None for name in names], pa.string()),
        kind: pa.array([medium.content for medium in media], pa.binary()),
        f"{kind}_problem": pa.array([medium.problem for medium in media], pa.string()),
    }


def _assemble(
    batch: RowBatch, values: Mapping[str, pa.Array], source: str, file: str, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The rows of a batch, and then its faults, with every column of the schema; those not given are null."""
    if len(batch.rows):
        yield _record_batch({"row": pa.array(batch.rows), **values}, source, file, schema)
    if batch.faults:
        faults = {
            "row": pa.array([fault.row for fault in batch.faults], pa.int64()),
            "reject_reason": pa.array([fault.reason for fault in batch.faults], pa.string()),
            "reject_detail": pa.array([fault.detail for fault in batch.faults], pa.string()),
        }
        yield _record_batch(faults, source, file, schema)


def _record_batch(values: Mapping[str, pa.Array], source: str, file: str, schema: pa.Schema) -> pa.RecordBatch:
    count = len(values["row"])
    origin = {"source": pa.repeat(source, count), "file": pa.repeat(file, count)}
    given = {**origin, **values}
    columns = [given[field.name] if field.name in given else pa.nulls(count, field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
