"""torch's DataLoader over a dataset that yields ready batches from row groups, in random order; no Python per row."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from serving import serve
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

LOADERS: list[DataLoader] = []


class RowGroups(IterableDataset):
    """Batches of the row groups of one worker."""

    def __init__(self, groups: list[tuple[str, int]], columns: list[str], batch_size: int) -> None:
        self.groups, self.columns, self.batch_size = groups, columns, batch_size

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = get_worker_info()
        groups = list(self.groups)
        random.Random(1).shuffle(groups)
        files: dict[str, pq.ParquetFile] = {}
        left: list[pa.Table] = []
        for path, index in groups[worker.id :: worker.num_workers]:
            file = files.setdefault(path, pq.ParquetFile(path))
            rows = pa.concat_tables([*left, file.read_row_group(index, columns=self.columns, use_threads=False)])
            whole = rows.num_rows - rows.num_rows % self.batch_size
            for start in range(0, whole, self.batch_size):
                yield to_tensors(rows.slice(start, self.batch_size))
            left = [rows.slice(whole)]
        if left and left[0].num_rows:
            yield to_tensors(left[0])


def to_tensors(rows: pa.Table) -> dict[str, torch.Tensor]:
    """Arrow buffers as tensors, without a copy where the rows lie in one piece."""
    tensors = {}
    for name in rows.column_names:
        array = rows.column(name).combine_chunks()
        if pa.types.is_list(array.type):
            tensors[f"{name}.offsets"] = torch.from_numpy(array.offsets.to_numpy().copy())
            tensors[name] = torch.from_numpy(array.flatten().to_numpy())
        elif pa.types.is_binary(array.type):
            offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
            content = np.frombuffer(array.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
            tensors[name] = torch.from_numpy(content).view(len(array), -1)
        else:
            tensors[name] = torch.from_numpy(array.to_numpy())
    return tensors


def open_loader(groups: list[list], columns: list[str], batch_size: int, workers: int) -> None:
    """Start the workers; they stay for all epochs."""
    dataset = RowGroups([(path, index) for path, index in groups], columns, batch_size)
    LOADERS[:] = [DataLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=True)]


def read_epoch() -> dict[str, int]:
    """Read an epoch; count its rows and sum their ids."""
    rows = ids = 0
    for batch in LOADERS[0]:
        rows += len(batch["id"])
        ids += int(batch["id"].sum())
    return {"rows": rows, "ids": ids}


serve({"open_loader": open_loader, "read_epoch": read_epoch})
