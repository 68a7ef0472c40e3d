"""What counts as bought together."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kinfolk.settings.section import Section


class AssociationSettings(Section):
    """What counts as bought together."""

    min_support: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Least share of the baskets that have to hold an itemset, above 0 to 1, taken exactly: 0.01 of 300 is 3."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least confidence of a rule, 0 to 1."""
    max_length: Annotated[int, Field(ge=1, le=64)] = 10
    """Most items of an itemset."""
    max_itemsets: Annotated[int, Field(ge=1)] = 2_000_000
    """Most itemsets; more stop the job. A worker needs some 500 bytes of memory for each that is found."""
    window_days: Annotated[int, Field(ge=1)] | None = None
    """Mine only events of so many days, in UTC, the last of which is the run date; all by default."""
