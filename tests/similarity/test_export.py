"""Exports read back with FAISS itself, and compared with brute force."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kinfolk.errors import DataError, EnvironmentProblem, SettingsError
from kinfolk.settings import JoinSettings, VectorMeasure
from kinfolk.similarity.export import FAISS_REQUIREMENT, Exported, export_faiss
from kinfolk.similarity.oracle import join_by_brute_force

ITEMS, SIZE, NEIGHBORS = 60, 5, 4


def make_vectors() -> dict[str, list[float]]:
    """Vectors of very different lengths, so that each measure has neighbours of its own; in no order of their ids."""
    dice = np.random.default_rng(3)
    vectors_ND = dice.normal(size=(ITEMS, SIZE)) * dice.uniform(0.1, 9.0, (ITEMS, 1))
    names = [f"item{n:03}" for n in dice.permutation(ITEMS)]
    return dict(zip(names, vectors_ND.astype(np.float32).tolist(), strict=True))


def make_table(vectors: dict[str, Any]) -> pa.Table:
    return pa.table({"item_id": list(vectors), "value": pa.array(vectors.values(), pa.list_(pa.float32()))})


def export(folder: Path, vectors: dict[str, Any], measure: VectorMeasure = "cosine", lists: int = 0) -> Exported:
    origin = {"table": "item_embeddings", "table_version": 7}
    return export_faiss(make_table(vectors), folder, JoinSettings(measure=measure), lists=lists, origin=origin)


def search(folder: Path, vectors: dict[str, list[float]], measure: VectorMeasure) -> tuple[dict[str, Any], Any]:
    """What a reader with FAISS and the three files finds: for each item the ids and scores nearest to it."""
    ids = pq.read_table(folder / "ids.parquet")["item_id"].to_pylist()
    index = faiss.read_index(str(folder / "index.faiss"))
    queries_ND = np.array([vectors[item] for item in ids], np.float32)
    if measure == "cosine":
        faiss.normalize_L2(queries_ND)
    if hasattr(index, "nlist"):
        index.nprobe = index.nlist
    score_NK, place_NK = index.search(queries_ND, len(ids))
    found = {
        item: [(ids[place], float(score)) for place, score in zip(places, scores, strict=True) if ids[place] != item]
        for item, places, scores in zip(ids, place_NK, score_NK, strict=True)
    }
    return found, index


@pytest.mark.parametrize("lists", [0, 4])
@pytest.mark.parametrize("measure", ["cosine", "inner_product", "euclidean"])
def test_faiss_finds_the_neighbours_that_brute_force_finds(tmp_path: Path, measure: VectorMeasure, lists: int) -> None:
    vectors = make_vectors()
    assert export(tmp_path, vectors, measure, lists) == Exported(ITEMS, 0, SIZE)
    found, index = search(tmp_path, vectors, measure)
    assert (index.ntotal, index.d, getattr(index, "nlist", 0)) == (ITEMS, SIZE, lists)
    wanted = JoinSettings(measure=measure, threshold=None, neighbors=NEIGHBORS)
    for (item, rank), (neighbor, similarity) in join_by_brute_force(vectors, settings=wanted).neighbors.items():
        found_id, score = found[item][rank - 1]
        assert found_id == neighbor
        assert score == pytest.approx(similarity**2 if measure == "euclidean" else similarity, rel=1e-4, abs=1e-4)


def test_positions_and_what_was_exported_stand_beside_the_index(tmp_path: Path) -> None:
    export(tmp_path / "deep" / "folder", make_vectors(), "euclidean", lists=2)
    folder = tmp_path / "deep" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == ["ids.parquet", "index.faiss", "index.json"]
    ids = pq.read_table(folder / "ids.parquet")
    assert ids.schema == pa.schema([("position", pa.int64()), ("item_id", pa.string())])
    assert ids["position"].to_pylist() == list(range(ITEMS))
    assert ids["item_id"].to_pylist() == sorted(make_vectors())
    about = json.loads((folder / "index.json").read_text())
    assert about == {
        "measure": "euclidean", "metric": "squared_l2", "dimension": SIZE, "items": ITEMS, "lists": 2,
        "faiss": faiss.__version__, "table": "item_embeddings", "table_version": 7,
    }  # fmt: skip


def test_copies_are_in_the_index_and_what_cannot_be_compared_is_not(tmp_path: Path) -> None:
    vectors: dict[str, Any] = {"a": [1.0, 2.0], "b": [1.0, 2.0], "zero": [0.0, 0.0], "hole": [1.0, None], "no": None}
    assert export(tmp_path, vectors) == Exported(2, 3, 2)
    assert pq.read_table(tmp_path / "ids.parquet")["item_id"].to_pylist() == ["a", "b"]
    assert export(tmp_path, vectors, "inner_product") == Exported(3, 2, 2)
    with pytest.raises(DataError, match="no vector to export"):
        export(tmp_path, {"zero": [0.0]})


def test_an_export_that_dies_is_not_taken_for_one_that_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(tmp_path, make_vectors())

    def die(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(pq, "write_table", die)
        with pytest.raises(OSError, match="disk full"):
            export(tmp_path, make_vectors(), "euclidean")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ids.parquet", "index.faiss"]
    export(tmp_path, make_vectors(), "euclidean")
    assert json.loads((tmp_path / "index.json").read_text())["measure"] == "euclidean"


def test_what_faiss_cannot_hold_is_refused_with_what_can_be(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="jaccard; choose cosine, inner_product or euclidean"):
        export(tmp_path, make_vectors(), "jaccard")  # type: ignore[arg-type]
    for lists in (-1, ITEMS + 1):
        with pytest.raises(SettingsError, match=f"up to {ITEMS}"):
            export(tmp_path, make_vectors(), lists=lists)
    with pytest.raises(SettingsError, match="local folder, not to s3a://"):
        export_faiss(make_table(make_vectors()), "s3a://bucket/x", JoinSettings(), origin={})
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot be written to"):
        export(tmp_path / "file", make_vectors())


def test_a_missing_faiss_is_answered_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(EnvironmentProblem, match=f"pip install {FAISS_REQUIREMENT}"):
        export(tmp_path, make_vectors())
    extras = tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["faiss"] == [FAISS_REQUIREMENT]
