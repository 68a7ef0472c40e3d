"""Fixtures that all tests share.

Starting a JVM takes seconds, so there is one Spark session for the whole run: small heap, two cores, few partitions.
Tests keep apart by working each in a lake of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from kinfolk.settings import Settings, SparkSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# How long an example takes says more about the machine and its other tenants than about the code.
hypothesis.settings.register_profile("kinfolk", deadline=None)
hypothesis.settings.load_profile("kinfolk")


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The one Spark session, with Delta."""
    from kinfolk.engines.spark import build_session

    # Queries over a few rows are over before optimised code pays, the JVM's and Spark's. All the tests' classes fill
    # the 48 MB that the JVM then has for code, after which it would interpret everything that is new.
    quick = (
        "--driver-java-options '-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m'"
        " --conf spark.sql.codegen.wholeStage=false --conf spark.sql.codegen.factoryMode=NO_CODEGEN"
    )
    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", f"--driver-memory 1500m {quick} pyspark-shell")
    session = build_session("kinfolk-tests", SparkSettings(master="local[2]", shuffle_partitions=2))
    yield session
    session.stop()


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """Root of an empty lake."""
    return str(tmp_path / "lake")


@pytest.fixture
def make_settings(lake: str) -> Callable[..., Settings]:
    """Make settings for the test's lake from sections: `make_settings(similarity={"threshold": 0.8})`."""

    def make(**sections: Any) -> Settings:
        return Settings.model_validate({"lake": {"root": lake}} | sections)

    return make
