"""Run: settings, Spark, tables and tracking for one job; what is skipped, and why."""

from kinfolk.run.command import main
from kinfolk.run.execution import Outcome, Sessions, run_in, run_job
from kinfolk.run.job import FileStamp, Job
from kinfolk.run.run import Pending, Run, Written

__all__ = ["FileStamp", "Job", "Outcome", "Pending", "Run", "Sessions", "Written", "main", "run_in", "run_job"]
