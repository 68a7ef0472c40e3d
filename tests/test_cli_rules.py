"""`kinfolk rules` and `kinfolk itemsets` as people type them, over a small lake written without Spark."""

from __future__ import annotations

import argparse
import csv
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from rule_lake import LEAST, NAMES, list_itemsets, list_rules, put, put_rules

from kinfolk.cli import build_parser, main
from kinfolk.tables.catalog import ASSOCIATION_RULES, FREQUENT_ITEMSETS
from kinfolk.tables.lake import Lake

PAGE = Path(__file__).parents[1] / "docs" / "rules.md"


@pytest.fixture
def stocked(lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    return put_rules(lake)


def call(lake: Lake, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What the command prints; of a failure, what it says of it."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, f"--set=lake.root={lake.root}"])
    captured = capsys.readouterr()
    assert ended.value.code == code, captured.err
    return captured.err if code else captured.out


def ask(lake: Lake, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(call(lake, capsys, *arguments, "--json"))


def list_examples(parser: argparse.ArgumentParser) -> list[str]:
    """The commands of the help of a command line's look-ups, and those of the page."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    helps = [commands.choices[name].epilog or "" for name in ("rules", "itemsets")]
    fenced = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    lines = [line.strip() for text in [*helps, *fenced] for line in text.splitlines()]
    return [line for line in lines if line.startswith("kinfolk ")]


def strip_remark(line: str) -> list[str]:
    """The arguments of an example: a remark is behind a # or two blanks."""
    return shlex.split(re.split(r"  +", line)[0], comments=True)[1:]


@pytest.mark.parametrize("line", list_examples(build_parser()))
def test_the_examples_of_the_help_and_the_page_find_something(
    stocked: Lake, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    text = call(stocked, capsys, *strip_remark(line))
    assert len(text.splitlines()) > 2 or re.match(r"[1-9]\d* (rules|itemsets) written to ", text)


def test_there_are_examples() -> None:
    assert len(list_examples(build_parser())) >= 15


def test_a_list_shows_places_names_and_the_measures_asked_for(
    stocked: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = call(
        stocked, capsys, "rules", "jam", "b1", "--sort", "kappa", "--where", "zhang=0", "--measures", "phi"
    ).splitlines()
    assert lines[0] == "j1: Jam; b1: Bread"
    assert set(lines[1].split()) >= {"#", "support", "confidence", "lift", "baskets", "kappa", "zhang", "phi"}
    places = [line.split()[0] for line in lines[3:] if line.lstrip()[0].isdigit()]
    assert places == [str(place) for place in range(1, len(places) + 1)]
    assert len(places) > 2


def test_every_option_reaches_the_search(stocked: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    def find(*options: str) -> list[tuple[str, ...]]:
        rules = ask(stocked, capsys, "rules", *options, "--limit", "1000")["rules"]
        return sorted((*rule["antecedent"], "→", *rule["consequent"]) for rule in rules)

    def expect(is_wanted: Any) -> list[tuple[str, ...]]:
        return sorted((*r["antecedent"], "→", *r["consequent"]) for r in list_rules() if is_wanted(r))

    assert find() == expect(lambda r: True)
    assert find("--antecedent", "b1", "--antecedent", "b2", "--consequent", "j1") == expect(
        lambda r: {"b1", "b2"} <= {*r["antecedent"]} and "j1" in r["consequent"]
    )
    assert find("--min-confidence", "0.5") == expect(lambda r: r["confidence"] >= 0.5)
    assert find("--min-lift", "1.5") == expect(lambda r: r["lift"] >= 1.5)
    assert find("--min-support", "0.1") == expect(lambda r: r["support"] >= 0.1)
    assert find("--min-count", "7") == expect(lambda r: r["basket_count"] >= 7)
    assert find("--min-length", "4") == expect(lambda r: len(r["antecedent"] + r["consequent"]) >= 4)
    assert find("--max-length", "2") == expect(lambda r: len(r["antecedent"] + r["consequent"]) <= 2)
    assert find("--where", "leverage=..0", "--where", "support=0.1") == expect(
        lambda r: r["leverage"] <= 0 and r["support"] >= 0.1
    )
    ascending = ask(stocked, capsys, "rules", "--sort", "basket_count", "--ascending", "--limit", "3")["rules"]
    assert [rule["basket_count"] for rule in ascending] == [LEAST] * 3
    assert len(ask(stocked, capsys, "rules")["rules"]) == 10


def test_an_export_has_all_rules_with_their_counts_and_measures(
    stocked: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--min-lift", "1.2", "--measures", "jaccard,conviction"]
    assert call(stocked, capsys, "rules", *options, "--output", "r.csv") == (
        f"{sum(rule['lift'] >= 1.2 for rule in list_rules())} rules written to r.csv\n"
    )
    shown = ask(stocked, capsys, "rules", *options, "--limit", "1000")["rules"]
    with Path("r.csv").open(encoding="utf-8", newline="") as opened:
        read = list(csv.DictReader(opened))
    assert list(read[0]) == list(shown[0])
    for row, expected in zip(read, shown, strict=True):
        assert json.loads(row["antecedent"]) == expected["antecedent"]
        names = " + ".join(expected["consequent_names"])
        assert row["consequent_names"] == (f"'{names}" if names[0] in "=+-@\t" else names)
        for name in ("basket_count", "antecedent_count", "consequent_count", "baskets", "jaccard", "conviction"):
            assert (float(row[name]) if row[name] else None) == expected[name]
    assert any(row["consequent_names"].startswith("'") for row in read)
    assert ask(stocked, capsys, "rules", *options, "--output", "r.json") == {"file": "r.json", "rows": len(shown)}
    assert json.loads(Path("r.json").read_text("utf-8")) == shown
    call(stocked, capsys, "rules", *options, "--output", "r.jsonl", "--limit", "2")
    assert [json.loads(line) for line in Path("r.jsonl").read_text("utf-8").splitlines()] == shown[:2]


def test_all_measures_can_be_exported(stocked: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    call(stocked, capsys, "rules", "--measures", "all", "--output", "r.csv", "--limit", "1")
    header = Path("r.csv").read_text("utf-8").splitlines()[0].split(",")
    assert len(header) == len(set(header)) == 8 + 48


def test_an_explanation_is_told_in_words_or_as_json(stocked: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["rules", "--antecedent", "b1", "--consequent", "j1", "--sort", "length", "--ascending", "--explain", "1"]
    assert call(stocked, capsys, *options).startswith("rule 1: Bread → Jam\n")
    answer = ask(stocked, capsys, *options, "--samples", "1")
    assert (answer["antecedent"], answer["consequent"]) == ({"b1": "Bread"}, {"j1": "Jam"})
    (basket,) = answer["samples"]["exceptions"]
    assert "j1" not in {item["item_id"] for item in basket["items"]}


def test_itemsets_are_filtered_and_exported(stocked: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    def find(*options: str) -> list[tuple[str, ...]]:
        return sorted(
            tuple(row["items"]) for row in ask(stocked, capsys, "itemsets", *options, "--limit", "999")["itemsets"]
        )

    def expect(is_wanted: Any) -> list[tuple[str, ...]]:
        return sorted(tuple(row["items"]) for row in list_itemsets() if is_wanted(row))

    assert find() == expect(lambda r: True)
    assert find("jam", "b2") == expect(lambda r: {"j1", "b2"} <= {*r["items"]})
    assert find("--min-length", "2", "--max-length", "2") == expect(lambda r: r["length"] == 2)
    assert find("--min-count", "8", "--min-support", "0.2") == expect(lambda r: r["basket_count"] >= 12)
    for kind, mark in (("closed", "is_closed"), ("maximal", "is_maximal"), ("generators", "is_generator")):
        assert find(f"--{kind}") == expect(lambda r, mark=mark: r[mark]) != expect(lambda r: True)
    assert "Bread" in call(stocked, capsys, "itemsets", "bread", "--sort", "length")
    written = call(stocked, capsys, "itemsets", "--maximal", "--output", "s.csv")
    assert written == f"{len(expect(lambda r: r['is_maximal']))} itemsets written to s.csv\n"
    with Path("s.csv").open(encoding="utf-8", newline="") as opened:
        read = list(csv.DictReader(opened))
    assert sorted(tuple(json.loads(row["items"])) for row in read) == expect(lambda r: r["is_maximal"])
    assert {row["is_maximal"] for row in read} == {"true"}


def test_nothing_that_fits_is_said_in_words(stocked: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(stocked, capsys, "rules", "--min-lift", "99") == f"none of {len(list_rules())} association rules fits\n"
    assert "frequent itemsets fits" in call(stocked, capsys, "itemsets", "--min-length", "9")
    put(stocked, ASSOCIATION_RULES, [])
    put(stocked, FREQUENT_ITEMSETS, [])
    assert "there are no association rules; a lower association.min_support" in call(stocked, capsys, "rules")
    assert ask(stocked, capsys, "rules") == {"items": {}, "rules": []}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["rules", "--sort", "zang"], 2, "did you mean zhang"),
        (["rules", "--measures", "lift,leverge"], 2, "did you mean leverage"),
        (["rules", "--where", "lift"], 2, "'lift' is no bound"),
        (["rules", "--min-lift", "nan"], 2, "'lift=nan' is no bound"),
        (["rules", "--limit", "0"], 2, "the limit on rows is 0"),
        (["itemsets", "--limit", "0"], 2, "the limit on rows is 0"),
        (["rules", "buter"], 6, f"did you mean b2 ({NAMES['b2']})?"),
        (["itemsets", "buter"], 6, f"did you mean b2 ({NAMES['b2']})?"),
        (["rules", "--explain", "999"], 6, "there is no rule 999"),
        (["rules", "--explain", "1", "--output", "r.csv"], 2, "leave one of them out"),
        (["rules", "no such item", "--output", "r.xlsx"], 2, "one of .csv, .json, .jsonl"),
        (["itemsets", "no such item", "--output", "r"], 2, "one of .csv, .json, .jsonl"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    stocked: Lake, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    said = call(stocked, capsys, *arguments, code=code)
    assert words in said
    assert said.count("\n") == 1


def test_before_the_mine_job_its_name_is_told(lake: str, capsys: pytest.CaptureFixture[str]) -> None:
    for look_up in ("rules", "itemsets"):
        assert "the mine job writes it" in call(Lake(lake), capsys, look_up, code=6)
        assert "the mine job writes it" in call(Lake(lake), capsys, look_up, "jam", code=6)
