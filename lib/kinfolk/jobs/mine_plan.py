"""What the mine job would find in the lake as it stands, counted without Spark."""

from __future__ import annotations

import os
from dataclasses import dataclass

from kinfolk.association.forecast import MiningForecast, forecast_mining
from kinfolk.errors import SettingsError
from kinfolk.settings import Settings
from kinfolk.tables.catalog import CLEAN_EVENTS
from kinfolk.tables.lake import Lake, column_types


@dataclass(frozen=True)
class PlanOfMining:
    """What there is to find; `excess` says which budget it would not keep."""

    forecast: MiningForecast
    excess: str | None


def plan_mine(settings: Settings) -> PlanOfMining:
    """Count the itemsets of what stands in the lake.

    Raises NotFoundError where there are no clean_events, SettingsError where only a window of them would be mined.
    """
    wanted = settings.association
    if wanted.window_days is not None:
        raise SettingsError(
            "association.window_days depends on the day of the run; the plan is made of all events: --set "
            "association.window_days=null"
        )
    columns = ["basket_id", "item_id", *(["category"] if wanted.categories else [])]
    lake = Lake(settings.lake.root)
    there = column_types(lake.open(CLEAN_EVENTS))
    events = lake.read(CLEAN_EVENTS, [name for name in columns if name in there])
    forecast = forecast_mining(events, wanted, threads=wanted.threads or os.cpu_count() or 1)
    excess = None
    if forecast.is_cut:
        excess = f"more than {wanted.max_itemsets:,} itemsets; association.max_itemsets allows no more"
    return PlanOfMining(forecast, excess)
