"""The kinfolk command: run the jobs, look things up, check the machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from kinfolk.cli_rules import add_rule_commands
from kinfolk.run.command import EXIT_CODES, add_run_options, add_settings_options, exit_code_of, read_settings
from kinfolk.settings import Settings
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from kinfolk.jobs.join_plan import PlanOfJoin

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, do what it says and exit with the documented code."""
    options = build_parser().parse_args(arguments)
    command: Command = options.command
    sys.exit(exit_code_of(lambda: command(options)))


def build_parser() -> argparse.ArgumentParser:
    """The command line: a subcommand for each thing people do."""
    parser = argparse.ArgumentParser(
        prog="kinfolk",
        description="Finds what belongs together in a data lake: similar items, and products bought together.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_plan(commands)
    _add_look_ups(commands)
    _add_export(commands)
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


def _add_plan(commands: Any) -> None:
    jobs = commands.add_parser(
        "plan", help="what a job would do, and need", description="Tell what a job would do, and need, before it runs."
    ).add_subparsers(required=True, metavar="JOB")
    meaning = "how many pairs, how long, how much memory"
    _look_up(jobs, "join", _plan_join, f"the plans of the join: {meaning}")
    _look_up(jobs, "match", _plan_match, f"the plans of the match of two sides: {meaning}")
    _look_up(jobs, "mine", _plan_mine, "how many itemsets mining will find, and how much memory it needs")


def _add_look_ups(commands: Any) -> None:
    tables = _look_up(commands, "tables", _tables, "list the tables with rows, version and meaning")
    tables.add_argument("--sql", action="store_true", help="print SQL that registers every table in another engine")
    similar = _look_up(commands, "similar", _similar, "what resembles an item")
    similar.add_argument("item_id", metavar="ITEM_ID", help="id of the item, as in clean_items")
    explain = _look_up(commands, "explain", _explain, "why two items are similar, under the settings of the join")
    explain.add_argument("left_id", metavar="LEFT_ID", help="id of an item, as in clean_items")
    explain.add_argument("right_id", metavar="RIGHT_ID", help="id of another")
    add_rule_commands(partial(_look_up, commands))
    sql = _look_up(commands, "sql", _sql, "answer a SELECT over the tables")
    sql.add_argument("query", metavar="QUERY", help='such as "SELECT job, status FROM job_runs"')
    for parser, limit in ((similar, 10), (sql, 100)):
        parser.add_argument("--limit", type=int, default=limit, metavar="N", help=f"most rows shown (default: {limit})")


def _look_up(commands: Any, name: str, command: Command, meaning: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=meaning, description=f"Show {meaning}. Reads the tables directly, without Spark."
    )
    add_settings_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(command=command)
    return parser


def _add_export(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="write the embeddings as an index for another engine",
        description="Write the embeddings of similarity.modality as an index of FAISS that searches by "
        "similarity.measure, with the ids of its positions. Reads the tables directly, without Spark.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_settings_options(export)
    export.add_argument("engine", choices=["faiss"], help="faiss: index.faiss, ids.parquet and index.json")
    export.add_argument("folder", metavar="FOLDER", help="where to; made where it is not there")
    export.add_argument(
        "--lists", type=int, default=0, metavar="N",
        help="cut the vectors into N lists, of which a search visits some (IVF); by default it visits all",
    )  # fmt: skip
    export.set_defaults(command=_export)


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
    from kinfolk.pipeline import run_all

    settings = read_settings(options)
    run_all(settings, only=options.only, run_date=options.run_date, is_forced=options.force)
    if not options.only:
        _print_result(settings)
    return 0


def _print_result(settings: Settings) -> None:
    """Say where everything is, and the numbers that people ask for first."""
    from kinfolk.jobs.report import locate_page
    from kinfolk.report.pinned import PinnedTables
    from kinfolk.report.sections.headline import read_headline
    from kinfolk.tables.catalog import CATALOG

    lake = Lake(settings.lake.root)
    headline = read_headline(PinnedTables(lake, {t.name: lake.snapshot(t) for t in CATALOG.values() if lake.exists(t)}))
    for figure in headline.figures:
        print(f"{figure.value:>12}  {figure.name} {figure.remark}".rstrip())
    for hit in headline.hits:
        print(f"{hit.share:>12.1%}  of held-out pictures find their twin first ({hit.name})")
    print(f"tables: {lake.root}")
    print(f"report: {locate_page(settings)}")


def _lake(options: argparse.Namespace) -> Lake:
    return Lake(read_settings(options).lake.root)


def _plan_join(options: argparse.Namespace) -> int:
    from kinfolk.jobs.join_plan import plan_join

    return _show_plan(options, plan_join(read_settings(options)))


def _plan_match(options: argparse.Namespace) -> int:
    from kinfolk.jobs.join_plan import plan_match

    return _show_plan(options, plan_match(read_settings(options)))


def _show_plan(options: argparse.Namespace, plan: PlanOfJoin) -> int:
    from kinfolk.run.progress import format_seconds
    from kinfolk.similarity.forecast import format_bytes, format_count

    rows = []
    for place, told in enumerate(plan.forecasts):
        pairs, seconds, memory = told.pairs, told.seconds, told.memory
        rows.append(
            [
                f"{told.plan} (chosen)" if place == 0 else told.plan,
                pairs and f"{format_count(pairs.value)} ({format_count(pairs.low)}-{format_count(pairs.high)})",
                format_count(told.neighbors),
                seconds and format_seconds(seconds),
                memory and format_bytes(memory.bytes),
                told.tasks,
                told.threads,
            ]
        )
    if not options.json:
        print(" against ".join(side.describe() for side in (plan.items, plan.others) if side))
        print(f"{plan.forecasts[0].plan}: {plan.reason}")
        print(f"over its budget: {plan.excess}" if plan.excess else "within its budgets of pairs and memory")
    headers = ["plan", "pairs", "neighbours", "time", "memory", "tasks", "threads"]
    return _show(options, asdict(plan), rows, headers)


def _plan_mine(options: argparse.Namespace) -> int:
    from kinfolk.jobs.mine_plan import plan_mine
    from kinfolk.similarity.forecast import format_bytes

    settings = read_settings(options)
    plan = plan_mine(settings)
    told = plan.forecast
    if not options.json:
        print(
            f"{told.baskets:,} baskets of {told.items:,} frequent items; frequent is what {told.least:,} of them hold"
        )
        print(f"at most {told.rules:,} rules to one item, and {format_bytes(told.bytes)} of memory")
        print(f"over its budget: {plan.excess}" if plan.excess else "within its budget of itemsets")
    rows = [[length, count] for length, count in enumerate(told.itemsets_L) if count]
    return _show(options, asdict(plan), [*rows, ["all", told.itemsets]], ["items", "itemsets"])


def _tables(options: argparse.Namespace) -> int:
    lake = _lake(options)
    if options.sql:
        from kinfolk.tables.register import tables_sql

        print(tables_sql(lake.root), end="")
        return 0
    from kinfolk.tables.lookups import list_tables

    infos = list_tables(lake)
    rows = [[i.name, i.rows, i.version, i.updated, i.meaning] for i in infos]
    return _show(options, [asdict(i) for i in infos], rows, ["table", "rows", "version", "changed", "meaning"])


def _similar(options: argparse.Namespace) -> int:
    from kinfolk.tables.lookups import find_similar

    found = find_similar(_lake(options), options.item_id, options.limit)
    if not options.json:
        print(f"{found.item_id}: {found.text or 'no text'}")
        if found.copies:
            print(f"identical to {', '.join(found.copies)}")
        if found.group_id:
            print(f"in the group of {found.group_id}, {found.group_size} items")
    rows = [[n.rank, n.item_id, n.similarity, n.label, n.text] for n in found.neighbors]
    return _show(options, asdict(found), rows, ["rank", "item", "similarity", "label", "text"])


def _explain(options: argparse.Namespace) -> int:
    from kinfolk.explanation import explain_items, render_explanation
    from kinfolk.tables.lookups import find_pair

    settings = read_settings(options)
    modality = settings.similarity.modality if settings.similarity.compares_vectors else None
    pair = find_pair(Lake(settings.lake.root), options.left_id, options.right_id, modality=modality)
    why = explain_items(pair, settings.similarity)
    if options.json:
        print(json.dumps({"pair": asdict(pair), "explanation": asdict(why)}, ensure_ascii=False, indent=2))
    else:
        print(render_explanation(pair, why))
    return 0


def _export(options: argparse.Namespace) -> int:
    from kinfolk.similarity.export import export_faiss
    from kinfolk.tables.lookups import read_embeddings

    settings = read_settings(options)
    modality = settings.similarity.modality
    read = read_embeddings(Lake(settings.lake.root), modality)
    origin = {"table": "item_embeddings", "table_version": read.version, "modality": modality, "models": read.models}
    written = export_faiss(read.rows, options.folder, settings.similarity, lists=options.lists, origin=origin)
    left_out = f", {written.rejected:,} items cannot be compared and are left out" if written.rejected else ""
    print(f"{written.items:,} vectors of {written.dimension:,} coordinates{left_out}")
    print(f"index: {options.folder}")
    return 0


def _sql(options: argparse.Namespace) -> int:
    from kinfolk.tables.lookups import run_sql

    answer = run_sql(_lake(options), options.query, options.limit)
    code = _show(
        options, [dict(zip(answer.columns, row, strict=True)) for row in answer.rows], answer.rows, answer.columns
    )
    if answer.is_cut:
        print(f"only the first {options.limit} rows are shown; --limit N shows more", file=sys.stderr)
    return code


def _show(options: argparse.Namespace, data: Any, rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> int:
    """Print what was found, as JSON or as a table."""
    if options.json:
        print(json.dumps(data, default=str, ensure_ascii=False, indent=2))
        return 0
    from kinfolk.console import render_table

    print(render_table(rows, headers))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from kinfolk.doctor import print_findings, run_doctor

    return print_findings(run_doctor(read_settings(options)))


def _samples(_: argparse.Namespace) -> int:
    from kinfolk.samples import fetch_samples

    for name, folder in fetch_samples().items():
        print(f"{name}: {folder}")
    return 0
