"""The whole road over a small lake with a planted truth: what was planted is found, and nothing runs without need.

The tests of this file share one lake and run in order: each changes one thing and looks at which jobs that starts.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pyspark
import pytest
import yaml

from kinfolk.cli import main
from kinfolk.pipeline import run_all
from kinfolk.samples.generators import PlantedLake, write_planted_lake
from kinfolk.settings import Settings
from kinfolk.tables.catalog import (
    ASSOCIATION_RULES,
    CATALOG,
    CLEAN_EVENTS,
    CLEAN_ITEMS,
    ITEM_COPIES,
    ITEM_FEATURES,
    ITEM_NEIGHBORS,
    JOB_RUNS,
    JOIN_AUDITS,
    REJECTED_ROWS,
    SIMILAR_PAIRS,
    TRAINING_METRICS,
)
from kinfolk.tables.contract import Table
from kinfolk.tables.lake import Lake
from kinfolk.tracking import Tracker

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SUBJECTS, BASKETS = 40, 300


@dataclass
class Flow:
    """A lake, what was planted in it, and how to run the road over it."""

    planted: PlantedLake
    settings: Settings
    spark: SparkSession

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake.root)

    def run(self, settings: Settings | None = None, **options: Any) -> list[str]:
        """Run the road; return the names of the jobs that were not skipped."""
        outcomes = run_all(settings or self.settings, spark=self.spark, **options)
        return [outcome.job for outcome in outcomes if outcome.status == "succeeded"]

    def states(self) -> dict[str, tuple[str, int]]:
        """Identity and version of every table there but those with a row for each run."""
        there = [table for table in CATALOG.values() if self.lake.exists(table)]
        snapshots = [self.lake.snapshot(table) for table in there if table not in (JOB_RUNS, JOIN_AUDITS)]
        return {s.table: (s.table_id, s.version) for s in snapshots}

    def rows(self, table: Table) -> list[dict[str, Any]]:
        return self.lake.read(table, table.content).to_pylist()


def plant(folder: Path) -> tuple[PlantedLake, Settings]:
    """Write a planted lake's files and the settings that read them, with seconds of training."""
    planted = write_planted_lake(folder / "files", seed=7, subjects=SUBJECTS, baskets=BASKETS)
    settings = Settings.model_validate(
        {
            "lake": {"root": str(folder / "lake")},
            "sources": planted.sources.model_dump(),
            "cleaning": planted.cleaning.model_dump(),
            "features": {"image_size": 16, "held_out_share": 0.3},
            "learning": {"epochs": 6, "batch_size": 32, "channels": [8, 16], "embedding_size": 16},
            "similarity": {"threshold": 0.9, "neighbors": 5},
            "association": {"min_support": 0.05, "min_confidence": 0.6},
            "limits": {"max_rejected_share": 0.2},
        }
    )
    return planted, settings


@pytest.fixture(scope="module")
def flow(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    planted, settings = plant(tmp_path_factory.mktemp("road"))
    flow = Flow(planted, settings, spark)
    assert flow.run() == [
        *("ingest", "clean", "featurize", "train", "embed", "join"),
        *("mine", "sequence", "recommend", "value", "report"),
    ]
    return flow


def test_every_good_row_comes_through_and_every_faulty_one_is_named(flow: Flow) -> None:
    items, events = flow.planted.items, flow.planted.events
    assert sorted(row["item_id"] for row in flow.rows(CLEAN_ITEMS)) == items.good_ids
    assert flow.lake.snapshot(CLEAN_EVENTS).rows == events.good_rows
    reasons = [row["reason"] for row in flow.rows(REJECTED_ROWS) if row["job"] == "clean"]
    expected = list(items.faults.values()) + [reason for reason, count in events.faults.items() for _ in range(count)]
    assert sorted(reasons) == sorted(expected)


def test_planted_copies_and_twins_are_found(flow: Flow) -> None:
    copies = {row["item_id"]: row["representative_id"] for row in flow.rows(ITEM_COPIES)}
    for copy, original in flow.planted.items.copies.items():
        assert copies.get(copy) == original or copies.get(original) == copy
    standing_for = {item: copies.get(item, item) for pair in flow.planted.items.twins for item in pair}
    nearest: dict[str, set[str]] = {}
    for row in flow.rows(ITEM_NEIGHBORS):
        nearest.setdefault(row["item_id"], set()).add(row["neighbor_id"])
    found = [standing_for[b] in nearest[standing_for[a]] for a, b in flow.planted.items.twins]
    assert sum(found) >= 0.8 * len(found)


def test_planted_rules_are_found_with_their_exact_numbers(flow: Flow) -> None:
    rules = {(tuple(row["antecedent"]), tuple(row["consequent"])): row for row in flow.rows(ASSOCIATION_RULES)}
    for planted in flow.planted.events.rules:
        rule = rules[planted.antecedent, planted.consequent]
        assert rule["basket_count"] == planted.basket_count
        assert rule["support"] == pytest.approx(planted.support, abs=1e-12)
        assert rule["confidence"] == pytest.approx(planted.confidence, abs=1e-12)


def test_every_epoch_fed_exactly_the_training_split(flow: Flow) -> None:
    training = sum(row["split"] == "train" for row in flow.rows(ITEM_FEATURES))
    fed = [row["value"] for row in flow.rows(TRAINING_METRICS) if row["metric"] == "rows"]
    assert fed == [training] * flow.settings.learning.epochs


def test_the_report_is_there(flow: Flow) -> None:
    page = Path(flow.lake.path("_reports/report.html")).read_text()
    assert "saucer" in page.lower()
    assert page.count("data:image/") > 5


def test_nothing_runs_twice(flow: Flow) -> None:
    before = flow.states()
    assert flow.run() == []
    assert flow.states() == before


def test_forced_jobs_find_the_same_and_commit_nothing(flow: Flow) -> None:
    before = flow.states()
    assert flow.run(only=["clean", "featurize", "embed", "join", "mine"], is_forced=True) != []
    assert flow.states() == before


def test_a_changed_setting_runs_only_what_depends_on_it(flow: Flow) -> None:
    similarity = flow.settings.similarity.model_copy(update={"threshold": 0.95})
    pairs = flow.lake.snapshot(SIMILAR_PAIRS).rows
    assert flow.run(flow.settings.model_copy(update={"similarity": similarity})) == ["join", "report"]
    assert flow.lake.snapshot(SIMILAR_PAIRS).rows < pairs
    assert flow.run() == ["join", "report"]
    assert flow.lake.snapshot(SIMILAR_PAIRS).rows == pairs


def test_a_moved_alias_runs_what_uses_the_model(flow: Flow, tmp_path: Path) -> None:
    tracker = Tracker(flow.settings.tracking, flow.settings.lake.root)
    champion = tracker.resolve("encoder")
    directory = tmp_path / "other"
    shutil.copytree(champion.directory, directory)
    other = tracker.register("encoder", str(directory), run_id="by-hand")
    tracker.promote("encoder", other.version)
    ran = flow.run()
    tracker.promote("encoder", champion.version)
    assert ran[0] == "embed"
    assert not {"ingest", "clean", "featurize", "train", "mine"} & set(ran)
    flow.run()


def test_a_table_deleted_by_hand_is_made_again(flow: Flow) -> None:
    before = flow.rows(ITEM_NEIGHBORS)
    shutil.rmtree(flow.lake.path("item_neighbors"))
    assert flow.run() == ["join", "report"]
    key = ("item_id", "rank")
    assert sorted(flow.rows(ITEM_NEIGHBORS), key=lambda row: [row[k] for k in key]) == sorted(
        before, key=lambda row: [row[k] for k in key]
    )


def test_a_changed_file_replaces_its_rows(flow: Flow) -> None:
    table = flow.planted.events.table
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines) + lines[1].replace(lines[1].split(",")[2], "brand-new-item"))
    before = flow.lake.snapshot(CLEAN_EVENTS).rows
    ran = flow.run()
    assert ran[:2] == ["ingest", "clean"]
    assert not {"featurize", "train", "embed", "join"} & set(ran)
    assert flow.lake.snapshot(CLEAN_EVENTS).rows == before + 1


def test_the_examples_of_the_readme_run(flow: Flow, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```(python|yaml)\n(.*?)```", Path("README.md").read_text(), flags=re.DOTALL)
    assert [kind for kind, _ in blocks] == ["python", "python", "yaml"]
    for kind, text in blocks:
        if kind == "python":
            exec(text, {"lake": flow.lake.root, "spark": flow.spark})
        else:
            Settings.model_validate(yaml.safe_load(text))
    shown = capsys.readouterr().out
    assert "similarity" in shown
    assert "jam" in shown.lower()


def ask(flow: Flow, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a look-up on the command line answers, as data."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, f"--set=lake.root={flow.lake.root}", "--json"])
    assert ended.value.code == 0
    return json.loads(capsys.readouterr().out)


def test_look_ups_answer_from_the_tables(flow: Flow, capsys: pytest.CaptureFixture[str]) -> None:
    item, _ = flow.planted.items.twins[1]
    assert ask(flow, capsys, "similar", item)["item_id"] == item
    assert ask(flow, capsys, "rules", "saucer")["rules"][0]["lift"] > 1
    (count,) = ask(flow, capsys, "sql", "SELECT count(*) AS items FROM clean_items")
    assert count["items"] == flow.lake.snapshot(CLEAN_ITEMS).rows
    assert {table["name"] for table in ask(flow, capsys, "tables")} == set(CATALOG)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["similar", "no-such-item"], 6, "no item 'no-such-item'"),
        (["sql", "DELETE FROM clean_items"], 2, "only SELECT"),
        (["run", "--only", "nosuch"], 2, "there is no job 'nosuch'"),
        (["run", "--set", "similarity.treshold=1"], 2, "did you mean threshold?"),
        (["run", "--settings", "nowhere.yaml"], 2, "cannot be read"),
    ],
)
def test_a_mistake_on_the_command_line_is_answered_in_one_line(
    flow: Flow, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, f"--set=lake.root={flow.lake.root}"])
    assert ended.value.code == code
    assert words in capsys.readouterr().err


def test_spark_submit_runs_the_same_job_and_its_own_options_win(flow: Flow) -> None:
    submit = Path(sys.executable).with_name("spark-submit")
    home = Path(pyspark.__file__).parent
    options = ["--master", "local[1]", "--conf", "spark.app.name=from-submit", "--driver-memory", "1g"]
    settings = flow.settings.model_copy(
        update={"association": flow.settings.association.model_copy(update={"min_support": 0.06})}
    )
    ended = subprocess.run(
        [submit, *options, "jobs/mine.py", *as_options(settings)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYSPARK")} | {"SPARK_HOME": str(home)},
    )
    assert ended.returncode == 0, ended.stderr
    # spark-submit lets a Python program's two streams come out of one.
    assert "mine: done" in ended.stdout
    # The rules are the same, and so is what they recommend.
    assert flow.run() == ["mine", "report"]


def command(settings: Settings, job: str) -> list[str]:
    """The command that runs one job in a process of its own."""
    code = "import sys; from kinfolk.cli import main; main(sys.argv[1:])"
    return [sys.executable, "-c", code, "run", "--only", job, *as_options(settings)]


def as_options(settings: Settings) -> list[str]:
    """Settings as options of the command line."""
    sections = settings.model_dump(mode="json", exclude_defaults=True)
    return [f"--set={s}.{f}={json.dumps(v)}" for s, fields in sections.items() for f, v in fields.items()]


def kill_when(settings: Settings, job: str, is_time: Callable[[], bool]) -> None:
    """Start a job in a process of its own, SIGKILL it at the time told, and see that nothing it started lives on."""
    process = psutil.Popen(command(settings, job), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    children: list[psutil.Process] = []
    while not is_time():
        children = process.children(recursive=True) or children
        assert process.poll() is None, f"{job} ended before it could be killed: {process.stderr.read()}"
    children = process.children(recursive=True) or children
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive, f"left behind: {[p.cmdline() for p in alive]}"


def test_a_clean_killed_between_its_commits_ends_like_a_clean_run(
    spark: SparkSession, tmp_path: Path, flow: Flow
) -> None:
    _, settings = plant(tmp_path)
    run_all(settings, only=["ingest"], spark=spark)
    lake = Lake(settings.lake.root)
    kill_when(settings, "clean", lambda: lake.exists(CLEAN_ITEMS) and lake.snapshot(CLEAN_ITEMS).rows > 0)
    assert run_all(settings, only=["clean"], spark=spark)[0].status == "succeeded"
    clean = Flow(flow.planted, settings, spark)
    reference = tmp_path / "reference"
    _, once = plant(reference)
    run_all(once, only=["ingest", "clean"], spark=spark)
    for table in (CLEAN_ITEMS, CLEAN_EVENTS, REJECTED_ROWS):
        expected = Lake(once.lake.root).read(table, table.content).to_pylist()
        assert sorted(map(str, clean.rows(table))) == sorted(map(str, expected))
    runs = [row for row in clean.rows(JOB_RUNS) if row["job"] == "clean"]
    assert [(row["status"], row["attempt"]) for row in runs] == [("succeeded", 2)]


def test_a_killed_train_leaves_one_champion_and_one_runs_curves(flow: Flow) -> None:
    # Enough epochs that the kill falls between two checkpoints.
    learning = flow.settings.learning.model_copy(update={"epochs": 60, "checkpoint_epochs": 2})
    settings = flow.settings.model_copy(update={"learning": learning})
    checkpoints = Path(flow.lake.path("_checkpoints"))
    shutil.rmtree(checkpoints, ignore_errors=True)
    before = registered_versions(settings)
    kill_when(settings, "train", lambda: any(file.suffix == ".json" for file in checkpoints.rglob("*")))
    (outcome,) = run_all(settings, only=["train"], spark=flow.spark)
    assert outcome.status == "succeeded"
    (new,) = registered_versions(settings) - before
    assert Tracker(settings.tracking, settings.lake.root).resolve("encoder").version == new
    rows = [row for row in flow.rows(TRAINING_METRICS) if row["metric"] == "loss"]
    losses = [row["epoch"] for row in rows if row["training_run_id"] == outcome.run_id]
    assert sorted(losses) == list(range(1, 61))


def registered_versions(settings: Settings) -> set[str]:
    """Every version of the encoder in the registry."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{settings.lake.root}/_tracking/mlflow.db")
    return {str(version.version) for version in client.search_model_versions("name = 'kinfolk-encoder'")}
