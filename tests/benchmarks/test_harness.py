"""The harness of the benchmarks: what it measures, what it lets pass, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from . import __main__ as command
from .harness import (
    Bench,
    Case,
    Comparison,
    Cost,
    Goal,
    PeerFailure,
    PeerLimit,
    PeerProcess,
    Reading,
    WrongResult,
    measuring,
    run_benchmark,
    speed_goals,
)
from .harness.cases import select_cases
from .harness.drawing import draw_growth, read_growth
from .harness.machine import OtherWork, describe_machine
from .harness.measuring import alternate, measure, tree_cpu_seconds
from .harness.peers import PROGRAMS, make_environment
from .harness.progress import Progress

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"

PEER = """
import subprocess, sys, time
sys.path.insert(0, {programs!r})
from serving import serve

def greet(name):
    print("not an answer")
    return "hello " + name

def fail():
    raise ValueError("no such luck")

def exhaust():
    raise MemoryError

def hang(file):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    open(file, "w").write(str(child.pid))
    time.sleep(60)

def leave():
    print("last words", file=sys.stderr, flush=True)
    sys.exit(3)

serve({{function.__name__: function for function in (greet, fail, exhaust, hang, leave)}})
"""


def sleeper(seconds: float, name: str, calls: list[str]) -> Callable[[], str]:
    def run() -> str:
        calls.append(name)
        time.sleep(seconds)
        return name

    return run


def ignore(*_: object) -> None:
    pass


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[PeerProcess]:
    program = tmp_path / "greeter.py"
    program.write_text(PEER.format(programs=str(PROGRAMS)))
    process = PeerProcess(Path(sys.executable), program, tmp_path / "greeter.log")
    yield process
    process.close()


@pytest.mark.parametrize(
    ("goal", "value", "verdict"),
    [
        (Goal("a", 4.0), 4.0, "met"),
        (Goal("a", 4.0), 3.99, "missed"),
        (Goal("a", 1.2, better="lower"), 1.2, "met"),
        (Goal("a", 1.2, better="lower"), 1.21, "missed"),
        (Goal("a"), 0.0, ""),
    ],
)
def test_goal_judges_in_its_own_direction(goal: Goal, value: float, verdict: str) -> None:
    assert goal.verdict(value) == verdict


def test_comparison_takes_medians_and_says_which_way_is_better() -> None:
    ours = (Cost(1.0, 2.0), Cost(9.0, 2.0), Cost(2.0, 8.0))
    comparison = Comparison(ours, (Cost(8.0, 3.0),))
    assert comparison.speedup("wall").value == 4.0
    assert comparison.speedup("cpu").value == 1.5
    assert comparison.time_ratio("wall").value == 0.25
    # Ours did ten times the work that the peer could finish.
    assert comparison.speedup("wall", work=10).value == 40.0
    assert set(comparison.speedups("a")) == {goal.key for goal in speed_goals("a", None)}


def test_sides_take_turns_and_the_warming_run_does_not_count() -> None:
    calls: list[str] = []
    ours, peer = sleeper(0.0, "ours", calls), sleeper(0.0, "peer", calls)
    comparison = alternate(ours, peer, verify=ignore, rounds=5, after_round=ignore)
    assert calls == ["ours", "peer"] * 6
    assert len(comparison.ours) == len(comparison.peer) == 5


def test_a_wrong_result_stops_before_anything_is_timed() -> None:
    calls: list[str] = []

    def refuse(ours: str, peer: str | None) -> None:
        raise WrongResult(f"{ours} is not {peer}")

    with pytest.raises(WrongResult, match="ours is not peer"):
        alternate(sleeper(0.0, "ours", calls), sleeper(0.0, "peer", calls), verify=refuse, rounds=5, after_round=ignore)
    assert calls == ["ours", "peer"]


def test_a_long_peer_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "LONG_RUN_SECONDS", 0.05)
    calls: list[str] = []
    ours, peer = sleeper(0.0, "ours", calls), sleeper(0.1, "peer", calls)
    comparison = alternate(ours, peer, verify=ignore, rounds=3, after_round=ignore)
    assert (calls.count("ours"), calls.count("peer")) == (4, 1)
    assert len(comparison.peer) == 1
    assert comparison.peer[0].wall >= 0.1


def test_a_peer_at_its_limit_counts_as_the_limit_and_is_marked() -> None:
    answers = []

    def give_up() -> str:
        raise PeerLimit("ran out of memory", 300)

    comparison = alternate(
        sleeper(0.0, "ours", []), give_up, verify=lambda *both: answers.append(both), rounds=2, after_round=ignore
    )
    assert answers == [("ours", None)]
    assert comparison.peer == (Cost(300, 300),)
    assert "ran out of memory, counted as 300 s" in comparison.speedup("wall").note


def test_cpu_of_children_counts_while_they_run_and_after_they_ended() -> None:
    before = tree_cpu_seconds()
    _, cost = measure(lambda: subprocess.run([sys.executable, "-c", BURN], check=True))
    assert cost.cpu >= 0.3
    child = subprocess.Popen([sys.executable, "-c", BURN + "print(flush=True)\ninput()"], stdin=-1, stdout=-1)
    with child:
        assert child.stdout.readline() == b"\n"
        assert tree_cpu_seconds() - before >= 0.55
        child.communicate(b"\n")
    assert 0.55 <= tree_cpu_seconds() - before < 2


def test_waiting_costs_wall_but_no_cpu() -> None:
    _, cost = measure(lambda: time.sleep(0.3))
    assert cost.wall >= 0.3
    assert cost.cpu < 0.15


def test_peer_answers_whatever_its_libraries_print(peer: PeerProcess, tmp_path: Path) -> None:
    assert peer.call("greet", {"name": "you"}) == "hello you"
    with pytest.raises(PeerFailure, match="ValueError: no such luck"):
        peer.call("fail", {})
    assert peer.call("greet", {"name": "again"}) == "hello again"
    assert "not an answer" in (tmp_path / "greeter.log").read_text()


def test_peer_that_ends_leaves_its_last_words(peer: PeerProcess) -> None:
    with pytest.raises(PeerFailure, match=r"(?s)exit code 3: .*last words"):
        peer.call("leave", {})
    assert not peer.is_running
    with pytest.raises(PeerFailure, match="exit code 3"):
        peer.call("greet", {"name": "nobody"})


def test_memory_is_a_limit_only_where_there_is_one(peer: PeerProcess) -> None:
    with pytest.raises(PeerFailure, match="MemoryError"):
        peer.call("exhaust", {})
    with pytest.raises(PeerLimit, match="out of memory, counted as 300 s"):
        peer.call("exhaust", {}, limit=300)


def test_peer_beyond_its_limit_is_killed_with_its_children(peer: PeerProcess, tmp_path: Path) -> None:
    file = tmp_path / "child"
    with pytest.raises(PeerLimit, match="stopped after 2 s"):
        peer.call("hang", {"file": str(file)}, limit=2)
    assert not peer.is_running
    child = int(file.read_text())
    deadline = time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_environment_is_made_once_for_each_lock(tmp_path: Path) -> None:
    lock, folder = tmp_path / "peers-none.txt", tmp_path / "peers" / "none"
    lock.write_text("# nothing\n")
    python = make_environment(lock, folder)
    where = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert Path(where.stdout.strip()) == folder
    made = python.lstat().st_mtime_ns
    make_environment(lock, folder)
    assert python.lstat().st_mtime_ns == made
    lock.write_text("# nothing, but otherwise\n")
    make_environment(lock, folder)
    assert python.lstat().st_mtime_ns != made


def case(key: str, value: float, goal: float | None = 1.0) -> Case:
    return Case((Goal(key, goal),), "a peer", lambda bench: {key: Reading(value, "as measured")}, seconds=1)


def fail_wrong(bench: Bench) -> dict[str, Reading]:
    raise WrongResult("3 rows are missing")


def test_missed_goals_are_said_and_fail_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_benchmark([case("b.slow", 0.5), case("b.fast", 2.0)], name="b", folder=tmp_path) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "b.txt").read_text() + "\n"
    assert [line.split()[4] for line in printed.splitlines() if line.startswith("b.")] == ["missed", "met"]
    slow = json.loads((tmp_path / "b.json").read_text())[0]
    expected = {"key": "b.slow", "value": 0.5, "unit": "ratio", "goal": 1.0, "better": "higher", "peer": "a peer"}
    assert expected.items() <= slow.items()


def test_wrong_results_fail_but_do_not_cost_the_other_figures(tmp_path: Path) -> None:
    wrong = Case((Goal("b.wrong", 1.0),), "a peer", fail_wrong, seconds=1)
    assert run_benchmark([wrong, case("b.fast", 2.0)], name="b", folder=tmp_path) == 1
    figures = {figure["key"]: figure for figure in json.loads((tmp_path / "b.json").read_text())}
    assert (figures["b.wrong"]["value"], figures["b.wrong"]["verdict"]) == (None, "failed")
    assert "3 rows are missing" in figures["b.wrong"]["note"]
    assert figures["b.fast"]["value"] == 2.0


@pytest.mark.parametrize("readings", [{}, {"b.x": Reading(1.0), "b.y": Reading(1.0)}, {"b.x": Reading(float("nan"))}])
def test_figures_have_to_be_those_declared(readings: dict[str, Reading], tmp_path: Path) -> None:
    declared = Case((Goal("b.x", 1.0),), "a peer", lambda bench: readings, seconds=1)
    assert run_benchmark([declared], name="b", folder=tmp_path) == 1


def test_pattern_chooses_cases_by_key() -> None:
    cases = [case("rules.vs_mllib.retail.0.01", 1), case("rules.vs_mllib.quest.0.005", 1), case("rules.power", 1)]
    assert select_cases(cases, "vs_mllib") == cases[:2]
    assert select_cases(cases, "rules.*.0.005") == [cases[1]]
    assert select_cases(cases, "*") == cases
    assert select_cases(cases, "join") == []


def test_data_is_made_once_and_never_half(tmp_path: Path) -> None:
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "part").write_text("half")
        if len(made) == 1:
            raise OSError("disk full")

    with ExitStack() as stack:
        bench = Bench(tmp_path, started(), stack)
        with pytest.raises(OSError, match="disk full"):
            bench.data("rows-3", make)
        assert bench.data("rows-3", make) == bench.data("rows-3", make) == tmp_path / "rows-3"
    assert len(made) == 2
    assert os.listdir(tmp_path) == ["rows-3"]


def started() -> Progress:
    progress = Progress([10.0, 20.0])
    progress.begin("first")
    return progress


def test_time_left_follows_the_pace_of_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 100.0, 100.0, 105.0, 105.0, 107.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = started()
    progress.begin("second")
    # The first took 5 s of the 10 s expected; of the 10 s that the second should take then, 2 s have passed.
    assert progress.seconds_left() == pytest.approx(8.0)


def test_growth_is_drawn_from_the_figures_of_a_run(tmp_path: Path) -> None:
    values = {"sets.400": 4.1, "sets.200": 2.0, "knn.200": 1.5, "knn.400": None}
    figures = [{"key": f"join.growth_seconds.{key}", "value": value} for key, value in values.items()]
    (tmp_path / "join.json").write_text(json.dumps([{"key": "join.growth_on_doubling.sets", "value": 2.0}, *figures]))

    series = read_growth(tmp_path / "join.json")
    for name in ("one.svg", "other.svg"):
        draw_growth(series, tmp_path / name)

    assert series == {"sets": [(200, 2.0), (400, 4.1)], "knn": [(200, 1.5)]}
    drawn = (tmp_path / "one.svg").read_text()
    assert "sets, 4.1 s" in drawn
    assert "knn, 1.5 s" in drawn
    assert drawn == (tmp_path / "other.svg").read_text()


def test_work_of_others_is_seen_and_ours_is_not(tmp_path: Path) -> None:
    for name in ("stranger", "child"):
        (tmp_path / name).symlink_to(Path(sys.executable).resolve())
    work = OtherWork()
    burn = ["-ISc", BURN + "time.sleep(3)"]
    subprocess.run(["setsid", "--fork", tmp_path / "stranger", *burn], check=True)
    child = subprocess.Popen([tmp_path / "child", *burn])
    with child:
        time.sleep(1.5)
        busiest = {line.split()[0]: float(line.split()[1]) for line in work.busiest(100)}
        assert work.cores() > 0.05
        child.kill()
    assert busiest["stranger"] > 0.05
    assert "child" not in busiest


def test_machine_is_described() -> None:
    lines = "\n".join(describe_machine())
    assert re.search(r"processor .*, \d+ of \d+ cores", lines)
    assert re.search(r"memory .*GiB available", lines)
    assert "OPENBLAS_CORETYPE" in lines


@pytest.mark.parametrize("name", command.names())
def test_every_benchmark_declares_each_key_once(name: str) -> None:
    keys = [goal.key for declared in command.load_cases(name) for goal in declared.goals]
    assert keys
    assert len(set(keys)) == len(keys)
    assert all(key.startswith(f"{name}.") for key in keys)
