"""What brings in the money."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from kinfolk.settings.section import Section


class UtilitySettings(Section):
    """What brings in the money."""

    min_revenue_share: Annotated[float, Field(gt=0, le=1)] = 0.005
    """Least share of the revenue of all baskets that an itemset has to bring in, above 0 to 1, taken exactly."""
    min_revenue: Annotated[Decimal, Field(gt=0)] | None = None
    """Least revenue of an itemset, in the unit of the prices, in the place of min_revenue_share."""
    min_count: Annotated[int, Field(ge=1)] = 1
    """Least number of baskets that have to hold an itemset. One large basket holds very many sets that are worth a lot;
    a higher number leaves them out."""
    min_length: Annotated[int, Field(ge=1, le=64)] = 1
    """Fewest items of an itemset that is written."""
    max_length: Annotated[int, Field(ge=1, le=64)] = 5
    """Most items of an itemset."""
    excluded_items: tuple[str, ...] = ()
    """Ids of items that are left out of all baskets, and of the revenue, such as those that stand for postage."""
    max_itemsets: Annotated[int, Field(ge=1)] = 2_000_000
    """Most itemsets; more stop the job before it writes anything."""
    window_days: Annotated[int, Field(ge=1)] | None = None
    """Look only at events of so many days, in UTC, the last of which is the run date; all by default."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """Threads that the task computes with; 0 for as many as Spark gives a task cores (spark.task.cpus), and all cores
    where one machine does all the work."""
