"""Horovod ranks as tasks of a running Spark session: started, watched, and ended with the driver.

Python of the tree below a training: driver → JVM → Spark's worker (one a rank, it waits) → shell → rank.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kinfolk import errors
from kinfolk.engines.lifeline import Lifeline, hold_lifeline
from kinfolk.errors import EnvironmentProblem, KinfolkError
from kinfolk.tasks.machines import is_one_machine

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_START_SECONDS = 300
_STALL_SECONDS = 120
# Ranks agree once a cycle on what to exchange, also when there is nothing. At Horovod's 1 ms that took half of the time
# of two ranks on two cores.
_CYCLE_MILLISECONDS = 5
# What ranks report when it was another one that failed.
_ECHO = "HorovodInternalError"


@dataclass(frozen=True)
class RankOutcome:
    """What became of one rank: the value it returned, or the error it raised with its trace."""

    rank: int
    value: Any = None
    error: str | None = None
    message: str = ""
    trace: str = ""


@dataclass(frozen=True)
class RankCall:
    """What every rank is to do: `function`, written `module:name`, and its arguments.

    The function is called with the rank's World, a function that reports a line to the driver, and the arguments. It is
    named rather than passed, so that the driver need not import what only ranks need.
    """

    function: str
    arguments: tuple[Any, ...]


def run_ranks(
    call: RankCall,
    *,
    ranks: int,
    threads: int,
    spark: SparkSession,
    on_report: Callable[[str], None],
    interface: str | None = None,
) -> list[Any]:
    """Run a function on Horovod ranks, one Spark task each, and return their values in the order of the ranks.

    `threads` is what each rank computes with. `interface` names the network interface that ranks talk over; by default
    the loopback on one machine, and elsewhere one that all machines have. Raises EnvironmentProblem at once where Spark
    has too few task slots, the ranks' own KinfolkError, or KinfolkError with rank and trace for anything else.
    No rank outlives this process, however it ends.
    """
    _require_slots(spark, ranks)
    with (
        Lifeline(_driver_host(spark), on_report) as lifeline,
        _own_signals() as was_interrupted,
        _collected_job_errors() as job_errors,
    ):
        try:
            outcomes = _run_horovod(call, lifeline.address, ranks, threads, spark, interface)
        except KinfolkError:
            raise
        except Exception as error:
            if was_interrupted():
                raise KeyboardInterrupt from error
            raise EnvironmentProblem(_explain(error, job_errors)) from error
    _raise_failure(outcomes)
    return [outcome.value for outcome in outcomes]


def _run_horovod(
    call: RankCall, lifeline: tuple[str, int], ranks: int, threads: int, spark: SparkSession, interface: str | None
) -> list[RankOutcome]:
    try:
        from horovod.spark import run
    except ImportError as error:
        raise EnvironmentProblem(
            f"Horovod is missing here ({error}); `make setup` builds and installs it, `kinfolk doctor` checks it"
        ) from None
    interface = interface or (_loopback() if is_one_machine(spark) else None)
    outcomes: list[RankOutcome] = run(
        enter_rank,
        args=(call, threads, lifeline),
        num_proc=ranks,
        start_timeout=_START_SECONDS,
        use_gloo=True,
        use_mpi=False,
        env=_rank_environment(spark, threads),
        verbose=0,
        nics=[interface] if interface else None,
        executable=_rank_python(spark),
    )
    return sorted(outcomes, key=lambda outcome: outcome.rank)


def enter_rank(call: RankCall, threads: int, lifeline: tuple[str, int]) -> RankOutcome:
    """Begin a rank: tie its life to the driver's, then do what it was called for."""
    report = hold_lifeline(lifeline)
    from kinfolk.engines.ranks import live

    module, _, name = call.function.partition(":")
    function = getattr(importlib.import_module(module), name)
    return live(function, (report, *call.arguments), threads=threads)


def _rank_environment(spark: SparkSession, threads: int) -> dict[str, str]:
    """What ranks need beside what Spark's workers hand down, whose OMP_NUM_THREADS is spark.task.cpus.

    On one machine ranks import from where the driver does.
    """
    places = {"PYTHONPATH": os.pathsep.join(place for place in sys.path if place)} if is_one_machine(spark) else {}
    return places | {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "HOROVOD_CYCLE_TIME": str(_CYCLE_MILLISECONDS),
        "HOROVOD_STALL_CHECK_TIME_SECONDS": str(_STALL_SECONDS // 2),
        "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": str(_STALL_SECONDS),
    }


def _rank_python(spark: SparkSession) -> str:
    """The interpreter that Spark starts workers with; the driver's own may lie elsewhere on other machines."""
    if is_one_machine(spark):
        return sys.executable
    configured = spark.sparkContext.getConf().get("spark.pyspark.python")
    return configured or os.environ.get("PYSPARK_PYTHON") or sys.executable


def _require_slots(spark: SparkSession, ranks: int) -> None:
    """Refuse what could only wait: every rank holds a task slot until the last one is there."""
    conf = spark.sparkContext.getConf()
    if conf.get("spark.speculation") == "true":
        raise EnvironmentProblem(
            "spark.speculation is on, and a second copy of a task would be a second rank; start the session with "
            "--conf spark.speculation=false"
        )
    slots = _count_slots(spark)
    if slots is not None and slots < ranks:
        raise EnvironmentProblem(
            f"{ranks} ranks need {ranks} task slots at the same time, and this Spark session has {slots} "
            f"(master {spark.sparkContext.master}, spark.task.cpus {conf.get('spark.task.cpus') or 1}); give it more "
            f"(--master local[{ranks}], or more executors or cores), or train with fewer: --set learning.ranks={slots}"
        )


def _count_slots(spark: SparkSession) -> int | None:
    """Tasks that can run at the same time; None where executors come and go."""
    conf = spark.sparkContext.getConf()
    per_task = int(conf.get("spark.task.cpus") or 1)
    master = str(spark.sparkContext.master)
    local = re.fullmatch(r"local(?:\[(\d+|\*)(?:,\d+)?\])?", master)
    if local:
        cores = os.cpu_count() or 1 if local[1] == "*" else int(local[1] or 1)
        return cores // per_task
    instances, cores_each = conf.get("spark.executor.instances"), conf.get("spark.executor.cores")
    if conf.get("spark.dynamicAllocation.enabled") == "true" or not instances or not cores_each:
        return None
    return int(instances) * (int(cores_each) // per_task)


def _driver_host(spark: SparkSession) -> str:
    """Where ranks reach the driver."""
    if is_one_machine(spark):
        return "127.0.0.1"
    return spark.sparkContext.getConf().get("spark.driver.host") or socket.getfqdn()


def _loopback() -> str:
    """Name of the interface with the address 127.0.0.1: lo on Linux, lo0 on macOS."""
    for _, name in socket.if_nameindex():
        if name.startswith("lo"):
            return name
    raise EnvironmentProblem("this machine has no network interface lo; ranks on one machine talk over it")


@contextmanager
def _own_signals() -> Iterator[Callable[[], bool]]:
    """Keep this process's signal handlers, which Horovod replaces by its own and leaves so.

    Yields a function that says whether SIGINT or SIGTERM came meanwhile: Horovod then ends the ranks and reports
    nothing but that they failed.
    """
    if threading.current_thread() is not threading.main_thread():
        raise EnvironmentProblem("ranks can only be started from the main thread, where signals arrive")
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    earlier = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def was_interrupted() -> bool:
        try:
            return any(number in kept for number in os.read(reading, 4096))
        except BlockingIOError:
            return False

    try:
        yield was_interrupted
    finally:
        signal.set_wakeup_fd(earlier)
        for number, handler in kept.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


@contextmanager
def _collected_job_errors() -> Iterator[list[BaseException]]:
    """Collect what ends Horovod's thread that waits for the Spark job, instead of having its trace printed."""
    collected: list[BaseException] = []
    kept = threading.excepthook

    def collect(arguments: threading.ExceptHookArgs) -> None:
        if arguments.thread is not None and "run_spark" in arguments.thread.name and arguments.exc_value is not None:
            collected.append(arguments.exc_value)
        else:
            kept(arguments)

    threading.excepthook = collect
    try:
        yield collected
    finally:
        threading.excepthook = kept


def _explain(error: Exception, job_errors: list[BaseException]) -> str:
    """One line for ranks that ended otherwise than by returning or raising."""
    causes = [str(cause) for cause in job_errors if "SPARK_JOB_CANCELLED" not in str(cause)] or [str(error)]
    shown = " ".join(causes[0].split())[:1000]
    return (
        f"the ranks did not come to their end: {shown}; a rank that ends with exit code 137 was killed, most likely "
        "for want of memory; what the ranks printed stands above"
    )


def _raise_failure(outcomes: list[RankOutcome]) -> None:
    """Raise what went wrong first hand, rather than what other ranks saw of it."""
    failed = [outcome for outcome in outcomes if outcome.error]
    if not failed:
        return
    first_hand = [outcome for outcome in failed if outcome.error != _ECHO]
    outcome = (first_hand or failed)[0]
    known = getattr(errors, outcome.error or "", None)
    if isinstance(known, type) and issubclass(known, KinfolkError):
        raise known(f"{outcome.message} (rank {outcome.rank} of {len(outcomes)})")
    raise KinfolkError(f"rank {outcome.rank} of {len(outcomes)} failed with {outcome.error}:\n{outcome.trace}")
