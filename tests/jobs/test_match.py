"""The match job: items of one side and what they resemble on the other, as brute force finds it, night after night."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from tiny_items import make_clean_items, make_embeddings, put_rows

from kinfolk.cli import main
from kinfolk.errors import DataError, NotFoundError, SettingsError
from kinfolk.jobs.match import JOB
from kinfolk.run import Outcome, run_job
from kinfolk.settings import Settings
from kinfolk.similarity.oracle import cosine, join_by_brute_force, join_sets_by_brute_force, split_tokens
from kinfolk.tables.catalog import (
    CLEAN_ITEMS,
    ITEM_EMBEDDINGS,
    ITEM_MATCHES,
    MATCH_AUDITS,
    MATCHED_COPIES,
    MATCHED_PAIRS,
    REJECTED_ROWS,
)
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from kinfolk.tables.contract import Table

MakeSettings = Callable[..., Settings]
SOURCES = {"items": [{"name": name, "path": f"{name}.csv", "id": "id", "text": "text"} for name in ("ours", "theirs")]}
TEXT_TO_IMAGE: dict[str, Any] = {
    "left": {"modality": "text"},
    "right": {"modality": "image"},
    "threshold": 0.95,
    "neighbors": 3,
}
CATALOGUES: dict[str, Any] = {
    "left": {"sources": ["ours"]},
    "right": {"sources": ["theirs"]},
    "measure": "jaccard",
    "threshold": 0.4,
    "neighbors": 2,
    "tokens": {"unit": "words", "length": 1},
}


def go(settings: Settings, spark: SparkSession) -> Outcome:
    return run_job(JOB, settings, spark=spark)


def read_rows(lake: str, table: Table) -> list[dict[str, Any]]:
    return Lake(lake).read(table, columns=table.content).to_pylist()


def read_found(lake: str) -> tuple[dict[tuple[str, str], float], dict[tuple[str, int], tuple[str, float]]]:
    """The pairs and the matches."""
    pairs = {(row["left_id"], row["right_id"]): row["similarity"] for row in read_rows(lake, MATCHED_PAIRS)}
    matches = read_rows(lake, ITEM_MATCHES)
    return pairs, {(row["item_id"], row["rank"]): (row["match_id"], row["similarity"]) for row in matches}


def as_values(rows: Iterable[dict[str, Any]], modality: str) -> dict[str, list[float]]:
    """The embeddings of a modality that can be compared."""
    return {row["item_id"]: row["embedding"] for row in rows if row["modality"] == modality and any(row["embedding"])}


def assert_found(lake: str, rows: Iterable[dict[str, Any]], settings: Settings) -> None:
    """The tables hold what brute force finds; of matches equally near either may come first."""
    rows = list(rows)
    texts, images = as_values(rows, "text"), as_values(rows, "image")
    expected = join_by_brute_force(texts, images, settings=settings.matching)
    pairs, matches = read_found(lake)
    assert expected.pairs
    assert pairs == pytest.approx(expected.pairs, abs=1e-12)
    near = {key: similarity for key, (_, similarity) in expected.neighbors.items()}
    assert {key: similarity for key, (_, similarity) in matches.items()} == pytest.approx(near, abs=1e-12)
    for (text, _), (image, similarity) in matches.items():
        assert similarity == pytest.approx(cosine(texts[text], images[image]), abs=1e-12)


def test_texts_find_their_pictures_night_after_night(
    spark: SparkSession, lake: str, make_settings: MakeSettings
) -> None:
    embeddings = pa.concat_tables([make_embeddings(50, seed=1, modality="text"), make_embeddings(80, seed=2)])
    put_rows(lake, ITEM_EMBEDDINGS, embeddings)
    settings = make_settings(matching=TEXT_TO_IMAGE, limits={"max_rejected_share": 0.05})
    go(settings, spark)
    assert_found(lake, embeddings.to_pylist(), settings)
    copies = read_rows(lake, MATCHED_COPIES)
    assert {row["side"] for row in copies} == {"left", "right"}
    (audit,) = read_rows(lake, MATCH_AUDITS)
    assert (audit["left_items"], audit["right_items"], audit["pairs"]) == (50, 80, len(read_rows(lake, MATCHED_PAIRS)))
    for side, items in (("left", 50), ("right", 80)):
        copied = [row["item_id"] for row in copies if row["side"] == side]
        assert (audit[f"{side}_copies"], audit[f"{side}_distinct"]) == (len(copied), items - len(copied))
    assert go(settings, spark).status == "skipped"

    # A text and a picture change, a picture goes, and a text can no longer be compared.
    other = {("item007", "text"): [1.0, 2.0, 0.5, 0.125], ("item008", "image"): [1.0, 2.0, 0.5, 0.25]}
    other |= {("item005", "text"): [0.0] * 4}
    tonight = [row for row in embeddings.to_pylist() if (row["item_id"], row["modality"]) != ("item011", "image")]
    for row in tonight:
        row["embedding"] = other.get((row["item_id"], row["modality"]), row["embedding"])
    put_rows(lake, ITEM_EMBEDDINGS, pa.Table.from_pylist(tonight, schema=embeddings.schema))
    go(settings, spark)
    assert_found(lake, tonight, settings)
    rejected = {tuple(json.loads(row["row_key"]).values()): row["reason"] for row in read_rows(lake, REJECTED_ROWS)}
    assert rejected == {("left", "item005"): "zero_vector"}
    latest = max(Lake(lake).read(MATCH_AUDITS).to_pylist(), key=lambda row: row["updated_at"])
    assert latest["compared"] < latest["left_distinct"], "what did not change was kept"


def put_catalogues(lake: str) -> tuple[dict[str, str], dict[str, str]]:
    """Two catalogues of the same things, each with a text of its own, and an item that neither is asked about."""
    colours, things = ("red", "blue", "green", "black", "white"), ("cup", "plate", "bowl", "spoon")
    both = [f"{colour} {thing}" for colour in colours for thing in things]
    ours = {f"ours{place:02d}": f"{name} with a handle" for place, name in enumerate(both)}
    theirs = {f"theirs{place:02d}": f"the {name}, with handle" for place, name in enumerate(reversed(both))}
    rows = make_clean_items(dict.fromkeys([*ours, *theirs, "other"], "thing")).to_pylist()
    texts = {**ours, **theirs, "other": "red cup with a handle"}
    for row in rows:
        row |= {"text": texts[row["item_id"]], "source": row["item_id"].rstrip("0123456789")}
    put_rows(lake, CLEAN_ITEMS, pa.Table.from_pylist(rows, schema=make_clean_items({}).schema))
    return ours, theirs


def test_the_items_of_one_catalogue_are_found_in_another(
    spark: SparkSession, lake: str, make_settings: MakeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = put_catalogues(lake)
    settings = make_settings(matching=CATALOGUES, sources=SOURCES)
    go(settings, spark)
    words: list[list[set[object]]] = [
        [set(split_tokens(text, settings.matching.tokens)) for text in side.values()] for side in (ours, theirs)
    ]
    expected, _ = join_sets_by_brute_force(*words, settings=settings.matching)
    names = list(ours), list(theirs)
    pairs, matches = read_found(lake)
    assert pairs == {(names[0][left], names[1][right]): similarity for (left, right), similarity in expected.items()}
    for item, text in ours.items():
        name = " ".join(text.split()[:2])
        assert name in theirs[matches[item, 1][0]]

    given = [f"--set=matching.{name}={json.dumps(value)}" for name, value in CATALOGUES.items()]
    given += [f"--set=lake.root={lake}", f"--set=sources.items={json.dumps(SOURCES['items'])}"]
    with pytest.raises(SystemExit) as ended:
        main(["plan", "match", *given])
    assert ended.value.code == 0
    side = "20 items: 20 distinct, 0 copies, 0 rejected"
    assert capsys.readouterr().out.startswith(f"{side} against {side}\n")


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({}, "matching.left is not set"),
        ({"left": {"modality": "text"}}, "matching.right is not set"),
        ({"left": {}, "right": {}}, "the same items"),
        ({"left": {"modality": "text"}, "right": {}, "measure": "jaccard"}, "the same items"),
        (CATALOGUES | {"left": {"sources": ["mine"]}}, "names the sources mine; sources.items has ours, theirs"),
        (CATALOGUES | {"blocking": "brand"}, "matching.blocking is brand; items are told apart by subject_id"),
    ],
)
def test_sides_that_cannot_be_matched_are_refused(
    spark: SparkSession, lake: str, make_settings: MakeSettings, section: dict[str, Any], problem: str
) -> None:
    put_catalogues(lake)
    with pytest.raises(SettingsError, match=problem):
        go(make_settings(matching=section, sources=SOURCES), spark)


def test_a_side_without_items_is_refused(spark: SparkSession, lake: str, make_settings: MakeSettings) -> None:
    settings = make_settings(matching=TEXT_TO_IMAGE)
    with pytest.raises(NotFoundError, match="there is no table item_embeddings"):
        go(settings, spark)
    put_rows(lake, ITEM_EMBEDDINGS, make_embeddings(5))
    with pytest.raises(
        DataError, match="5 rows, none of them of modality text; choose another modality in the section matching"
    ):
        go(settings, spark)
    assert JOB.lacks(make_settings(sources=SOURCES)) == "matching.left"
    assert JOB.lacks(make_settings(sources=SOURCES, matching=TEXT_TO_IMAGE)) is None
