"""What counts as bought later."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from kinfolk.settings.section import Section

Days = Annotated[float, Field(ge=0, le=36_500)]


class SequenceSettings(Section):
    """What counts as bought later."""

    min_support: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Least share of the customers whose history has to hold a sequence, above 0 to 1, taken exactly: 0.01 of 300 is
    3."""
    min_count: Annotated[int, Field(ge=1)] | None = None
    """Least number of customers whose history has to hold a sequence, in the place of min_support."""
    max_length: Annotated[int, Field(ge=1, le=64)] = 4
    """Most items of a sequence, those of all its elements together."""
    max_elements: Annotated[int, Field(ge=1, le=64)] = 4
    """Most elements of a sequence, that is, purchases one after the other."""
    min_gap_days: Days = 0
    """Fewest days from one element to the next, which comes later in any case; parts of a day are allowed."""
    max_gap_days: Days | None = None
    """Most days from one element to the next; parts of a day are allowed; null for any."""
    max_span_days: Days | None = None
    """Most days from the first element to the last; parts of a day are allowed; null for any."""
    excluded_items: tuple[str, ...] = ()
    """Ids of items that are left out of all histories before anything is counted."""
    max_sequences: Annotated[int, Field(ge=1)] = 2_000_000
    """Most sequences; more stop the job before it writes anything. A worker needs some 150 bytes of memory for each."""
    window_days: Annotated[int, Field(ge=1)] | None = None
    """Search only events of so many days, in UTC, the last of which is the run date; all by default."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """Threads that the searching task computes with; 0 for as many as Spark gives a task cores (spark.task.cpus), and
    all cores where one machine does all the work."""

    @model_validator(mode="after")
    def _leaves_a_gap(self) -> SequenceSettings:
        for name in ("max_gap_days", "max_span_days"):
            most = getattr(self, name)
            if most is not None and most < self.min_gap_days:
                raise ValueError(f"{name} ({most:g}) is less than min_gap_days ({self.min_gap_days:g})")
        return self
