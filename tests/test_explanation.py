"""`kinfolk explain` and `kinfolk export` over a small lake written without Spark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import pytest
from report_lake import COSINE, WHEN, put, put_items, put_similar

from kinfolk.cli import main
from kinfolk.console import measure_width
from kinfolk.tables.catalog import CLEAN_ITEMS, ITEM_COPIES, ITEM_EMBEDDINGS, JOIN_AUDITS, SIMILAR_PAIRS

WORDS = ("--set=similarity.measure=jaccard", "--set=similarity.tokens.length=1")


@pytest.fixture
def stocked(lake: str) -> str:
    """The drawings of four subjects by two hands, joined by cosine; a copy of the left cat; one item without a text."""
    put_items(lake)
    put_similar(lake)
    put(lake, ITEM_COPIES, [{"item_id": "left/dog", "representative_id": "left/cat"}])
    audit = {"measure": "cosine", "neighbors_wanted": 2, "plan": "exact", "recall": 1.0, "recall_low": 1.0}
    audit |= dict.fromkeys(("items", "distinct", "copies", "rejected", "pairs", "neighbors", "probes", "tasks"), 1)
    put(lake, JOIN_AUDITS, [audit | {"join_run_id": "j", "recall_high": 1.0, "updated_at": WHEN}])
    return lake


def call(lake: str, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What the command prints; of a failure, what it says of it."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, f"--set=lake.root={lake}"])
    assert ended.value.code == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_an_explanation_shows_texts_side_by_side_and_the_strongest_dimensions(
    stocked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = call(stocked, capsys, "explain", "left/cat", "right/cat")
    lines = text.splitlines()
    assert lines[0].split() == ["left/cat", "right/cat"]
    assert lines[2].split("  ")[0] == "cat, a drawing"
    assert (
        "cosine 0.64: 1 of 4 dimensions carries half of the similarity, 2 carry 90% of it\nin similar_pairs\n" in text
    )
    rows = [line.split() for line in lines[-4:]]
    assert [row[:4] for row in rows] == [
        ["0", "2", "4", "0.32"], ["1", "4", "2", "0.32"], ["2", "1", "2", "0.08"], ["3", "2", "-1", "-0.08"]
    ]  # fmt: skip
    assert [(len(row[4]), row[4][0]) for row in rows] == [(24, "█"), (24, "█"), (6, "█"), (6, "░")]
    assert max(map(measure_width, lines)) <= 80


def test_of_many_dimensions_the_strongest_are_shown_and_the_rest_is_summed_up(
    stocked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {"modality": "image", "model_name": "m", "model_version": "3", "source_version": 0}
    vectors = {"left/cat": [2.0] * 13 + [1.0] * 3, "right/cat": [2.0] * 13 + [-1.0] * 3}
    put(stocked, ITEM_EMBEDDINGS, (model | {"item_id": i, "embedding": vector} for i, vector in vectors.items()))
    lines = call(
        stocked, capsys, "explain", "left/cat", "right/cat", "--set=similarity.measure=inner_product"
    ).splitlines()
    assert lines[-1] == "the other 4 dimensions add 1 together"
    assert [line.split()[0] for line in lines[-13:-1]] == [str(place) for place in range(12)]


def test_an_explanation_of_texts_tells_the_words_they_share(stocked: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = call(stocked, capsys, "explain", "left/cat", "right/moon", *WORDS)
    assert "jaccard 0.5: 2 are in both, of 3 tokens on the left and 3 on the right\nnot in similar_pairs\n" in text
    assert "in both: 'a', 'drawing'\nonly left: 'cat'\nonly right: 'moon'" in text
    assert [line.split()[-2] for line in text.splitlines() if line.endswith("█")] == ["2", "1", "1"]


def test_long_texts_are_shown_in_more_than_a_few_lines(stocked: str, capsys: pytest.CaptureFixture[str]) -> None:
    long = " ".join(f"word{n}" for n in range(40))
    put(stocked, CLEAN_ITEMS, ({"item_id": i, "subject_id": i, "source": "s", "text": long} for i in "ab"))
    text = call(stocked, capsys, "explain", "a", "b", *WORDS)
    assert "word39" in text.split("jaccard")[0]
    assert "and 10 more" in text


@pytest.mark.parametrize(
    ("right", "options", "words"),
    [
        ("right/dog", (), "left/dog is a copy of left/cat, which stands for it in similar_pairs\nnot in similar_pairs"),
        ("right/cat", (), "left/dog is a copy of left/cat, which stands for it in similar_pairs\nin similar_pairs\n"),
        ("left/cat", (), "the two are identical: copies are no row of similar_pairs"),
        ("right/cat", WORDS, "in similar_pairs, which was made under cosine, with 0.64"),
    ],
)
def test_a_copy_is_told_and_looked_up_through_its_representative(
    stocked: str, capsys: pytest.CaptureFixture[str], right: str, options: tuple[str, ...], words: str
) -> None:
    assert words in call(stocked, capsys, "explain", "left/dog", right, *options)


def test_a_pair_that_has_changed_since_the_join_is_told(stocked: str, capsys: pytest.CaptureFixture[str]) -> None:
    put(stocked, SIMILAR_PAIRS, [{"left_id": "left/sun", "right_id": "right/sun", "similarity": 0.9}])
    text = call(stocked, capsys, "explain", "right/sun", "left/sun")
    assert "in similar_pairs with 0.9: the items or the settings have changed since that join" in text


def test_json_holds_both_items_and_the_whole_explanation(stocked: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer: Any = json.loads(call(stocked, capsys, "explain", "left/cat", "right/cat", "--json"))
    assert (answer["pair"]["similarity"], answer["explanation"]["similarity"]) == (COSINE, COSINE)
    assert answer["pair"]["left"]["text"] == "cat, a drawing"
    assert answer["pair"]["measure"] == "cosine"
    assert len(answer["explanation"]["dimensions"]) == 4
    answer = json.loads(call(stocked, capsys, "explain", "left/cat", "right/moon", "--json", *WORDS))
    assert answer["explanation"]["shared"] == ["a", "drawing"]
    assert answer["explanation"]["left_passages"][0] == {"text": "cat, ", "is_shared": False}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("left/cat", "left/cot"), 6, "no item 'left/cot' in clean_items; did you mean left/cat (cat, a drawing)"),
        (("left/cat", "left/cat"), 2, "'left/cat' came twice; name two items"),
        (("left/cat", "right/cat", "--set=similarity.modality=text"), 6, "modality text; it has one of image"),
        (("left/cat", "mute", *WORDS), 6, "item 'mute' has no text, which jaccard compares"),
        (("left/cat", "mute"), 6, "item 'mute' has no embedding of modality image; it has none at all"),
        (("left/cat", "dots", *WORDS), 3, "the right one of the two has no token"),
    ],
)
def test_what_cannot_be_explained_is_answered_in_one_line(
    stocked: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    texts = {"left/cat": "cat, a drawing", "right/cat": "cat, a drawing", "mute": None, "dots": "..."}
    put(stocked, CLEAN_ITEMS, ({"item_id": i, "subject_id": i, "source": "s", "text": t} for i, t in texts.items()))
    said = call(stocked, capsys, "explain", *arguments, code=code)
    assert words in said
    assert said.count("\n") == 1


def test_an_export_holds_the_embeddings_of_the_modality_and_says_where_they_come_from(
    stocked: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = {"model_name": "kinfolk-encoder", "model_version": "3", "source_version": 0}
    images = [{"item_id": f"i{n}", "modality": "image", "embedding": [3.0 * n, 4.0]} for n in range(3)]
    put(stocked, ITEM_EMBEDDINGS, (model | row for row in [*images, images[0] | {"modality": "text"}]))
    said = call(stocked, capsys, "export", "faiss", str(tmp_path / "index"))
    assert said.splitlines()[0] == "3 vectors of 2 coordinates"
    index = faiss.read_index(str(tmp_path / "index" / "index.faiss"))
    assert index.reconstruct(0).tolist() == [0.0, 1.0]
    assert index.reconstruct(1).tolist() == pytest.approx([0.6, 0.8])
    about = json.loads((tmp_path / "index" / "index.json").read_text())
    assert (about["table"], about["table_version"], about["modality"]) == ("item_embeddings", 1, "image")
    assert about["models"] == ["kinfolk-encoder/3"]


def test_an_export_before_the_embeddings_names_what_to_run(
    lake: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "no table item_embeddings" in call(lake, capsys, "export", "faiss", str(tmp_path), code=6)
    put_items(lake)
    text = call(lake, capsys, "export", "faiss", str(tmp_path), "--set=similarity.modality=text", code=3)
    assert "no vector to export" in text
