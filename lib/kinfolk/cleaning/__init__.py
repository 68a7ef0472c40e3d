"""Rules that rows have to pass: each row stays or leaves with one reason."""

from kinfolk.cleaning.events import clean_events
from kinfolk.cleaning.items import clean_items
from kinfolk.cleaning.reasons import EventReason, ItemReason

__all__ = ["EventReason", "ItemReason", "clean_events", "clean_items"]
