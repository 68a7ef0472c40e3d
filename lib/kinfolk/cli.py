"""The kinfolk command: run the jobs, look things up, check the machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from kinfolk.run.command import EXIT_CODES, add_run_options, add_settings_options, exit_code_of, read_settings
from kinfolk.tables.lake import Lake

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, do what it says and exit with the documented code."""
    options = build_parser().parse_args(arguments)
    command: Command = options.command
    sys.exit(exit_code_of(lambda: command(options)))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kinfolk",
        description="Finds what belongs together in a data lake: similar items, and products bought together.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_look_ups(commands)
    _add_upkeep(commands)
    return parser


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="run all jobs in order, or only some",
        description="Run the jobs in the order in which the data goes. Jobs whose result stands are skipped; after a "
        "failure the same command resumes where it stopped.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_run_options(run)
    run.add_argument("--only", metavar="JOB", action="append", default=[], help="run only this job; may be repeated")
    run.set_defaults(command=_run)


def _add_look_ups(commands: Any) -> None:
    tables = _look_up(commands, "tables", _tables, "list the tables with rows, version and meaning")
    tables.add_argument("--sql", action="store_true", help="print SQL that registers every table in another engine")
    similar = _look_up(commands, "similar", _similar, "what resembles an item")
    similar.add_argument("item_id", metavar="ITEM_ID", help="id of the item, as in clean_items")
    rules = _look_up(commands, "rules", _rules, "what is bought together with an item")
    rules.add_argument("item", metavar="ITEM", help="id of the item, or a part of its name")
    sql = _look_up(commands, "sql", _sql, "answer a SELECT over the tables")
    sql.add_argument("query", metavar="QUERY", help='such as "SELECT job, status FROM job_runs"')
    for parser, limit in ((similar, 10), (rules, 10), (sql, 100)):
        parser.add_argument("--limit", type=int, default=limit, metavar="N", help=f"most rows shown (default: {limit})")


def _look_up(commands: Any, name: str, command: Command, meaning: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=meaning, description=f"Show {meaning}. Reads the tables directly, without Spark."
    )
    add_settings_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(command=command)
    return parser


def _add_upkeep(commands: Any) -> None:
    doctor = commands.add_parser(
        "doctor", help="check this machine", description="Check versions, Java, memory, disk, Horovod and Delta here."
    )
    add_settings_options(doctor)
    doctor.set_defaults(command=_doctor)
    samples = commands.add_parser(
        "samples",
        help="fetch the demo data",
        description="Fetch the demo data, verify it by its SHA-256 and keep it in the cache folder "
        "($KINFOLK_CACHE, by default ~/.cache/kinfolk).",
    )
    samples.add_argument("action", choices=["fetch"], help="fetch: bring what is missing")
    samples.set_defaults(command=_samples)


def _run(options: argparse.Namespace) -> int:
    from kinfolk.pipeline import print_result, run_all

    settings = read_settings(options)
    run_all(settings, only=options.only, run_date=options.run_date, is_forced=options.force)
    if not options.only:
        print_result(settings)
    return 0


def _lake(options: argparse.Namespace) -> Lake:
    return Lake(read_settings(options).lake.root)


def _doctor(options: argparse.Namespace) -> int:
    from kinfolk.doctor import print_findings, run_doctor

    return print_findings(run_doctor(read_settings(options)))


def _samples(options: argparse.Namespace) -> int:
    from kinfolk.samples import fetch_samples

    for name, folder in fetch_samples().items():
        print(f"{name}: {folder}")
    return 0
