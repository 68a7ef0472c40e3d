"""spark-defaults.conf holds what no session builder can set, sized for the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from installation import spark_defaults

GIB = 1024**3


@pytest.mark.parametrize(("memory", "driver"), [(2 * GIB, 1), (16 * GIB, 4), (23 * GIB, 5), (256 * GIB, 8)])
def test_the_driver_gets_a_quarter_within_bounds(memory: int, driver: int) -> None:
    assert spark_defaults.driver_gigabytes(memory) == driver


def test_a_container_counts_its_own_limit(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("max\n")
    whole = spark_defaults.machine_memory(limit)
    assert whole == spark_defaults.machine_memory(tmp_path / "no-such-file")
    limit.write_text(f"{512 * 1024**2}\n")
    assert spark_defaults.machine_memory(limit) == 512 * 1024**2


def test_only_jars_python_and_memory_are_set() -> None:
    lines = [line.split(None, 1) for line in spark_defaults.render_defaults().splitlines() if line[0] != "#"]
    settings = dict(lines)
    assert set(settings) == {"spark.jars", "spark.pyspark.python", "spark.driver.memory"}
    assert all(Path(jar).is_absolute() for jar in settings["spark.jars"].split(","))
    assert Path(settings["spark.pyspark.python"]).name == "python"
