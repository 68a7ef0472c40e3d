"""Readers of what users have: CSV, JSON lines and Parquet, with the pictures and sounds that rows name."""

from kinfolk.sources.files import Listed, SourceFile, list_media, list_source
from kinfolk.sources.headers import check_sources
from kinfolk.sources.reading import plan_files, read_events, read_items
from kinfolk.sources.rows import IngestReason

__all__ = [
    "IngestReason",
    "Listed",
    "SourceFile",
    "check_sources",
    "list_media",
    "list_source",
    "plan_files",
    "read_events",
    "read_items",
]
