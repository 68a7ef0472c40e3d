"""Vectors of items as an index of FAISS, with the ids of its positions.

A folder holds three files. `index.faiss` is what `faiss.read_index` opens: under cosine an index of inner products over
vectors of length 1, under inner_product over the vectors as they are, and under euclidean one of squared distances.
`ids.parquet` has a row for each position, in order: position (int64) and item_id. `index.json` says what was exported;
it is taken away first and written last, so that a folder without it is an export that did not come to its end.

Shape suffixes: N items, D coordinates.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kinfolk.errors import DataError, EnvironmentProblem, SettingsError
from kinfolk.settings import JoinSettings, VectorMeasure
from kinfolk.similarity.vectors.items import read_vectors, scale_to_one

INDEX_FILE, IDS_FILE, ABOUT_FILE = "index.faiss", "ids.parquet", "index.json"

FAISS_REQUIREMENT = "faiss-cpu==1.15.1"
"""What the package's `faiss` extra asks for."""


@dataclass(frozen=True)
class Exported:
    """What was written: items in the index, items that cannot be compared and were left out, coordinates of each."""

    items: int
    rejected: int
    dimension: int


def export_faiss(
    items: pa.Table, folder: str | Path, settings: JoinSettings, *, lists: int = 0, origin: Mapping[str, Any]
) -> Exported:
    """Write items (item_id, value: list of floats) to a folder, as an index that searches by the settings' measure.

    Copies are in it as well. `lists` above 0 cuts the vectors into so many lists by k-means, of which a search visits
    some (`nprobe`); 0 makes a flat index, whose search is exact. `origin` says in index.json where the items come from.
    Raises SettingsError for a measure of sets or a number of lists that cannot be, DataError where no item has a vector
    to compare, and EnvironmentProblem where FAISS is not installed.
    """
    if not settings.compares_vectors:
        raise SettingsError(
            f"FAISS holds vectors, and similarity.measure is {settings.measure}; choose cosine, inner_product or "
            "euclidean"
        )
    faiss = _import_faiss()
    vectors, rejected = read_vectors(items, is_zero_allowed=settings.measure != "cosine")
    _check_counts(len(vectors), rejected.num_rows, lists)
    index = _build_index(faiss, vectors.vectors_ND, cast(VectorMeasure, settings.measure), lists)
    exported = Exported(len(vectors), rejected.num_rows, vectors.vectors_ND.shape[1])
    about = {
        "measure": settings.measure,
        "metric": "squared_l2" if settings.measure == "euclidean" else "inner_product",
        "dimension": exported.dimension,
        "items": exported.items,
        "lists": lists,
        "faiss": faiss.__version__,
    }
    target = _open_folder(folder)
    _put(target / INDEX_FILE, lambda path: faiss.write_index(index, path))
    positions = pa.array(np.arange(exported.items, dtype=np.int64))
    ids = pa.table({"position": positions, "item_id": vectors.ids})
    _put(target / IDS_FILE, lambda path: pq.write_table(ids, path))
    text = json.dumps(about | dict(origin), ensure_ascii=False, indent=2) + "\n"
    _put(target / ABOUT_FILE, lambda path: Path(path).write_text(text, encoding="utf-8"))
    return exported


def _import_faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise EnvironmentProblem(
            f"an index of FAISS is written by FAISS, which is not installed here: pip install {FAISS_REQUIREMENT}"
        ) from None
    return faiss


def _check_counts(items: int, rejected: int, lists: int) -> None:
    if not items:
        raise DataError(
            f"there is no vector to export, {rejected:,} items cannot be compared; another modality is chosen with "
            "--set similarity.modality=NAME"
        )
    if not 0 <= lists <= items:
        raise SettingsError(
            f"{items:,} vectors cannot be cut into {lists:,} lists; give 0 for none, or up to {items:,}"
        )


def _build_index(faiss: Any, vectors_ND: NDArray[np.float32], measure: VectorMeasure, lists: int) -> Any:
    metric = faiss.METRIC_L2 if measure == "euclidean" else faiss.METRIC_INNER_PRODUCT
    index = faiss.index_factory(vectors_ND.shape[1], f"IVF{lists},Flat" if lists else "Flat", metric)
    stored_ND = scale_to_one(vectors_ND) if measure == "cosine" else vectors_ND
    if lists:
        index.train(stored_ND)
    index.add(stored_ND)
    return index


def _open_folder(folder: str | Path) -> Path:
    """The folder, made where it is not there, and unfinished from now on."""
    if "://" in str(folder):
        raise SettingsError(f"FAISS writes to a local folder, not to {folder}")
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        (target / ABOUT_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentProblem(f"the folder {folder} cannot be written to: {error.strerror}") from None
    return target


def _put(path: Path, write: Callable[[str], Any]) -> None:
    """Write a file beside its place and put it there at once."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(str(unfinished))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
