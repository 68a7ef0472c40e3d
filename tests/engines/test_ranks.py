"""Real Horovod ranks under a real Spark session: the same numbers as one process, and failures that are told."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import torch
from learning_batches import three_steps

from kinfolk.engines.launch import RankCall, run_ranks
from kinfolk.errors import DataError, EnvironmentProblem
from kinfolk.learning.world import SingleWorld

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_two_ranks_do_what_one_does(spark: SparkSession) -> None:
    reports: list[str] = []
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    two = run_ranks(
        RankCall("learning_batches:three_steps", ()), ranks=2, threads=2, spark=spark, on_report=reports.append
    )
    one = three_steps(SingleWorld(), reports.append)
    for result in two:
        assert result["losses"] == pytest.approx(one["losses"], rel=1e-5)
        for part in ("gradients", "weights"):
            assert result[part].keys() == one[part].keys()
            for name, values in one[part].items():
                torch.testing.assert_close(
                    torch.tensor(result[part][name]), torch.tensor(values), rtol=1e-4, atol=2e-6, msg=f"{part} {name}"
                )
    assert any(abs(value) > 1e-3 for values in one["gradients"].values() for value in values)
    assert {f"rank {rank} of 2 took three steps with 2 threads" for rank in (0, 1)} <= set(reports)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_error_of_a_rank_comes_back_as_itself(spark: SparkSession) -> None:
    with pytest.raises(DataError, match=r"nothing to learn from \(rank 1 of 2\)"):
        run_ranks(
            RankCall("learning_batches:fail_on_one", (1,)), ranks=2, threads=1, spark=spark, on_report=lambda line: None
        )


def test_too_few_slots_are_refused_at_once(spark: SparkSession) -> None:
    with pytest.raises(EnvironmentProblem, match=r"3 ranks need 3 task slots .* learning\.ranks=2"):
        run_ranks(RankCall("nowhere:nothing", ()), ranks=3, threads=1, spark=spark, on_report=lambda line: None)
