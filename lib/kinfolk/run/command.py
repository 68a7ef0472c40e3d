"""The command line that every job and the kinfolk command share."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import date
from typing import NoReturn

from kinfolk.errors import KinfolkError
from kinfolk.run.execution import explain, run_job
from kinfolk.run.job import Job
from kinfolk.settings import Settings, load_settings

EXIT_CODES = """exit codes:
  0  done, or skipped because nothing changed
  1  an unexpected failure; the line names the file with the whole trace
  2  a setting or an option is wrong
  3  the data is not what the job can work with; nothing was committed
  4  something on this machine is missing or too small; see `kinfolk doctor`
  5  another run holds the lake, or committed in between; run again
  6  a table, version, model or item is not there
  130  interrupted; run again to resume"""


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which settings hold."""
    parser.add_argument(
        "--settings", metavar="FILE", help="YAML file with settings; every default is in docs/settings.md"
    )
    parser.add_argument(
        "--set", metavar="SECTION.FIELD=VALUE", action="append", default=[], dest="overrides",
        help="override one setting, such as similarity.threshold=0.8; may be repeated",
    )  # fmt: skip


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every way of starting a job has."""
    add_settings_options(parser)
    parser.add_argument(
        "--run-date", type=_parse_date, metavar="YYYY-MM-DD", help="the day the run stands for (default: today, UTC)"
    )
    parser.add_argument("--force", action="store_true", help="run even where nothing changed")


def _parse_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2026-01-31") from None


def read_settings(options: argparse.Namespace) -> Settings:
    """The settings that the command line names."""
    return load_settings(options.settings, options.overrides)


def main(job: Job, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one job from the command line, as spark-submit does, and exit with its code."""
    parser = argparse.ArgumentParser(
        prog=f"jobs/{job.name}.py",
        description=f"{job.meaning}\n\n{describe_job(job)}",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_run_options(parser)
    options = parser.parse_args(arguments)

    def work() -> int:
        run_job(job, read_settings(options), run_date=options.run_date, is_forced=options.force)
        return 0

    sys.exit(exit_code_of(work))


def describe_job(job: Job) -> str:
    """What a job reads and writes, and which sections of the settings it looks at."""
    lines = [
        ("reads", ", ".join(t.name for t in (*job.reads, *job.optional_reads)) or "the files named in the settings"),
        ("writes", ", ".join(t.name for t in job.writes) or "files outside tables"),
        ("models", ", ".join(job.models)),
        ("settings", ", ".join(job.sections)),
    ]
    return "\n".join(f"{name}: {value}" for name, value in lines if value)


def exit_code_of(work: Callable[[], int]) -> int:
    """Do the work; on failure print one clear line and return the documented exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return work()
    except KinfolkError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; run the same command again to resume", 130)
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 - the last place where a defect can be told in one line
        explained = explain(error)
        if isinstance(explained, KinfolkError):
            return _fail(str(explained), explained.exit_code)
        first_line = str(error).strip().splitlines()[:1]
        return _fail(
            f"unexpected {type(error).__name__}: {' '.join(first_line)} (the whole trace: _logs in the lake)", 1
        )


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"kinfolk: {message}\n")
    return code


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
