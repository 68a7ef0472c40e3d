"""What the kinfolk command says of rules and itemsets: lists, one rule in full, files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from kinfolk.console import render_table
from kinfolk.errors import SettingsError
from kinfolk.rulebook.numbers import list_measures, parse_bounds
from kinfolk.rulebook.search import KEY, SHOWN, RuleSearch, search_rules
from kinfolk.run.command import EXIT_CODES, read_settings
from kinfolk.tables.catalog import ASSOCIATION_RULES, FREQUENT_ITEMSETS
from kinfolk.tables.contract import Table
from kinfolk.tables.exports import check_file, export_rows
from kinfolk.tables.lake import Lake
from kinfolk.tables.queries import check_limit
from kinfolk.tables.rule_lookups import LENGTH, Bounds, ItemsetFilter, count_mined, match_items, read_itemsets

Command = Callable[[argparse.Namespace], int]
LookUp = Callable[[str, Command, str], argparse.ArgumentParser]
"""Adds a look-up to the command line: its name, what it does, and what it shows."""

_SHOWN, _MOST_ITEMS_NAMED = 10, 5
_ALL_MEASURES = "all"
_KINDS = {"closed": "is_closed", "maximal": "is_maximal", "generators": "is_generator"}
_MEANINGS = {
    "closed": "no larger set is in as many baskets",
    "maximal": "no larger set is frequent",
    "generators": "no smaller set is in as few baskets",
}

_RULE_EXAMPLES = """examples:
  kinfolk rules jam                               the strongest rules with jam on either side
  kinfolk rules --consequent jam --min-confidence 0.4 --where zhang=0.3 --sort leverage
                                                  what leads to jam, by another measure
  kinfolk rules jam --explain 2                   the second of jam's rules in full, with baskets
  kinfolk rules --min-lift 1.2 --measures all --output rules.csv
                                                  all strong rules, for a spreadsheet

"""
_ITEMSET_EXAMPLES = """examples:
  kinfolk itemsets --min-length 2                 what is bought together most often
  kinfolk itemsets jam --maximal --sort length    the largest sets with jam
  kinfolk itemsets --closed --output sets.jsonl   all closed sets, an object in each line

"""


def add_rule_commands(look_up: LookUp) -> None:
    """Add `kinfolk rules` and `kinfolk itemsets` to the command line."""
    rules = look_up("rules", _show_rules, "what is bought together, as rules")
    _add_filters(rules, _RULE_EXAMPLES, "rules")
    for side, place in (("antecedent", "before"), ("consequent", "behind")):
        rules.add_argument(
            f"--{side}", metavar="ITEM", action="append", default=[],
            help=f"only rules with it {place} the arrow; may be repeated",
        )  # fmt: skip
    for name, meaning in (("confidence", "confidence, 0 to 1"), ("lift", "lift")):
        rules.add_argument(f"--min-{name}", type=float, metavar="X", help=f"least {meaning}")
    rules.add_argument(
        "--where", metavar="MEASURE=LOW", action="append", default=[],
        help="only rules whose measure is LOW or more; MEASURE=LOW..HIGH and MEASURE=..HIGH say the most as well; may "
        "be repeated",
    )  # fmt: skip
    rules.add_argument(
        "--sort", metavar="MEASURE", default="lift", help="measure of docs/measures.md, highest first (default: lift)"
    )
    rules.add_argument("--measures", metavar="A,B,…", default="", help="more measures to show, or all")
    rules.add_argument("--explain", type=int, metavar="N", help="show the N-th rule of the list in full, with baskets")
    rules.add_argument(
        "--samples", type=int, default=3, metavar="N", help="most baskets shown of each kind (default: 3)"
    )
    itemsets = look_up("itemsets", _show_itemsets, "what is bought together, as sets of items")
    _add_filters(itemsets, _ITEMSET_EXAMPLES, "itemsets")
    for kind, meaning in _MEANINGS.items():
        itemsets.add_argument(f"--{kind}", action="store_true", help=f"only sets than which {meaning}")
    itemsets.add_argument(
        "--sort", choices=["basket_count", "support", LENGTH], default="basket_count",
        help="what is highest first (default: basket_count)",
    )  # fmt: skip


def _add_filters(parser: argparse.ArgumentParser, examples: str, things: str) -> None:
    """Add what rules and itemsets have in common."""
    parser.epilog = examples + EXIT_CODES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "items", metavar="ITEM", nargs="*", help=f"id of an item, or a part of its name: only {things} with all of them"
    )
    parser.add_argument("--min-support", type=float, metavar="X", help="least share of all baskets, 0 to 1")
    parser.add_argument("--min-count", type=int, metavar="N", help="fewest baskets that hold all items")
    parser.add_argument("--min-length", type=int, metavar="N", help="fewest items")
    parser.add_argument("--max-length", type=int, metavar="N", help="most items")
    parser.add_argument("--ascending", action="store_true", help="lowest first")
    parser.add_argument(
        "--limit", type=int, metavar="N", help=f"most {things} shown (default: {_SHOWN}) or written (default: all)"
    )
    parser.add_argument(
        "--output", metavar="FILE", help=f"write all {things} to a .csv, .json or .jsonl file instead, in the place of "
        "one that stands there",
    )  # fmt: skip


def _show_rules(options: argparse.Namespace) -> int:
    lake = Lake(read_settings(options).lake.root)
    search = _read_search(options)
    if options.explain is not None:
        return _explain_rule(options, lake, search)
    _check_output(options)
    found = search_rules(lake, search)
    rows = found.rules.drop_columns(list(KEY))
    if options.output:
        return _write(options, rows, "rules")
    if options.json:
        return _print_json({"items": found.items, "rules": rows.to_pylist()})
    _tell_items(found.items)
    if not rows.num_rows:
        return _tell_none(lake, ASSOCIATION_RULES)
    numbers = list(dict.fromkeys((*SHOWN, "basket_count", *search.numbers)))
    shown = [
        [place, row["antecedent_names"], row["consequent_names"], *(row[name] for name in numbers)]
        for place, row in enumerate(rows.to_pylist(), start=1)
    ]
    headers = ["baskets" if name == "basket_count" else name for name in numbers]
    print(render_table(shown, ["#", "baskets with", "also hold", *headers]))
    return 0


def _read_search(options: argparse.Namespace) -> RuleSearch:
    measures = [name.strip() for name in options.measures.split(",") if name.strip()]
    return RuleSearch(
        tuple(options.items),
        tuple(options.antecedent),
        tuple(options.consequent),
        (*_read_bounds(options, "confidence", "lift"), *map(parse_bounds, options.where)),
        options.sort,
        is_ascending=options.ascending,
        measures=list_measures() if measures == [_ALL_MEASURES] else tuple(measures),
        limit=_read_limit(options),
    )


def _read_bounds(options: argparse.Namespace, *measures: str) -> list[Bounds]:
    """The bounds that rules and itemsets have in common, and the least values of some measures."""
    least = {"support": options.min_support, "basket_count": options.min_count, LENGTH: options.min_length}
    least |= {name: getattr(options, f"min_{name}") for name in measures}
    bounds = [parse_bounds(f"{name}={value}") for name, value in least.items() if value is not None]
    return bounds if options.max_length is None else [*bounds, Bounds(LENGTH, high=options.max_length)]


def _read_limit(options: argparse.Namespace) -> int | None:
    """How many rows are wanted: a file takes all of them where nothing is said."""
    if options.limit is not None:
        check_limit(options.limit)
        return int(options.limit)
    return None if options.output else _SHOWN


def _check_output(options: argparse.Namespace) -> None:
    """Refuse a file that cannot be written before anything is searched."""
    if options.output:
        check_file(options.output)


def _explain_rule(options: argparse.Namespace, lake: Lake, search: RuleSearch) -> int:
    if options.output:
        raise SettingsError("--explain shows one rule, and --output writes many: leave one of them out")
    # Imported here: lists of rules need no compiler.
    from kinfolk.rulebook.explanation import explain_rule
    from kinfolk.rulebook.rendering import render_rule

    rule = explain_rule(lake, search, options.explain, samples=options.samples)
    if options.json:
        return _print_json(asdict(rule))
    print(render_rule(rule))
    return 0


def _show_itemsets(options: argparse.Namespace) -> int:
    lake = Lake(read_settings(options).lake.root)
    limit = _read_limit(options)
    _check_output(options)
    matched = match_items(lake, options.items)
    marks = [mark for kind, mark in _KINDS.items() if getattr(options, kind)]
    wanted = ItemsetFilter(matched, _read_bounds(options), marks)
    rows = read_itemsets(lake, wanted, sort=options.sort, is_ascending=options.ascending, limit=limit)
    if options.output:
        return _write(options, rows, "itemsets")
    items = {item_id: name for some in matched for item_id, name in some.items()}
    if options.json:
        return _print_json({"items": items, "itemsets": rows.to_pylist()})
    _tell_items(items)
    if not rows.num_rows:
        return _tell_none(lake, FREQUENT_ITEMSETS)
    shown = [
        [row["item_names"], row["support"], row["basket_count"], [kind for kind, mark in _KINDS.items() if row[mark]]]
        for row in rows.to_pylist()
    ]
    print(render_table(shown, ["items", "support", "baskets", "kind"]))
    return 0


def _tell_items(items: Mapping[str, str]) -> None:
    """Say which items were meant."""
    meant = [f"{item}: {name}" for item, name in items.items()]
    more = f"; and {len(meant) - _MOST_ITEMS_NAMED} more" if len(meant) > _MOST_ITEMS_NAMED else ""
    if meant:
        print("; ".join(meant[:_MOST_ITEMS_NAMED]) + more)


def _tell_none(lake: Lake, table: Table) -> int:
    """Say what an empty list means: nothing fits, or nothing was found when baskets were mined."""
    total, things = count_mined(lake, table), table.name.replace("_", " ")
    if total:
        print(f"none of {total:,} {things} fits")
    else:
        print(f"there are no {things}; a lower association.min_support or min_confidence lets the mine job find some")
    return 0


def _write(options: argparse.Namespace, rows: pa.Table, things: str) -> int:
    written = export_rows(rows, options.output)
    if options.json:
        return _print_json({"file": options.output, "rows": written})
    print(f"{written:,} {things} written to {options.output}")
    return 0


def _print_json(data: Any) -> int:
    print(json.dumps(data, default=str, ensure_ascii=False, indent=2))
    return 0
