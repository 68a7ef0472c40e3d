"""What counts as bought together."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kinfolk.settings.section import Section


class AssociationSettings(Section):
    """What counts as bought together."""

    min_support: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Least share of the baskets that an itemset has to be found in, above 0 to 1."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least confidence of a rule, 0 to 1."""
    max_length: Annotated[int, Field(ge=1, le=64)] = 10
    """Most items of an itemset."""
    max_itemsets: Annotated[int, Field(ge=1)] = 20_000_000
    """Most itemsets; more stop the job."""
    window_days: Annotated[int, Field(ge=1)] | None = None
    """Mine only events of so many days up to the run date; all by default."""
