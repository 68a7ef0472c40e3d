"""States of a training on disk, from which a killed run goes on: one safetensors file each, no pickle.

The folder may lie on any file system that Arrow knows, since ranks on several machines have to see it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.fs as pafs
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from kinfolk.errors import DataError
from kinfolk.tables.storage import open_filesystem

_NAME = re.compile(r"epoch-(\d{8})\.safetensors")
_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A state after `epoch` epochs: tensors by name, and facts that JSON can hold."""

    epoch: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class CheckpointFolder:
    """Checkpoints of one training, at a local path or a URI; the two newest are kept."""

    def __init__(self, directory: str) -> None:
        self._files, self._root = open_filesystem(directory)

    def epochs(self) -> list[int]:
        """Epochs there are checkpoints of, the newest last."""
        listing = self._files.get_file_info(pafs.FileSelector(self._root, allow_not_found=True))
        return sorted(int(match[1]) for entry in listing if (match := _NAME.fullmatch(entry.base_name)))

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint whole or not at all, then remove those that are too old."""
        self._files.create_dir(self._root, recursive=True)
        contiguous = {name: tensor.detach().contiguous() for name, tensor in checkpoint.tensors.items()}
        content = save(contiguous, metadata={"facts": json.dumps(checkpoint.facts)})
        path = self._path(checkpoint.epoch)
        partial = f"{path}.{os.getpid()}.partial"
        with self._files.open_output_stream(partial) as stream:
            stream.write(content)
        self._files.move(partial, path)
        for epoch in self.epochs()[:-_KEPT]:
            self._files.delete_file(self._path(epoch))

    def load(self, epoch: int) -> Checkpoint:
        """Read a checkpoint. Raises DataError where it cannot be read."""
        path = self._path(epoch)
        try:
            with self._files.open_input_stream(path) as stream:
                content = stream.read()
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            facts = json.loads(header["__metadata__"]["facts"])
            return Checkpoint(epoch, load(content), facts)
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise DataError(
                f"the checkpoint {path} cannot be read ({error}); remove it, and training goes on from an earlier one"
            ) from None

    def _path(self, epoch: int) -> str:
        return f"{self._root}/epoch-{epoch:08d}.safetensors"


def copy_folder(source: str, target: str) -> None:
    """Copy the files of a folder; each of the two is a local path or a URI."""
    source_files, source_path = open_filesystem(source)
    target_files, target_path = open_filesystem(target)
    target_files.create_dir(target_path, recursive=True)
    for entry in source_files.get_file_info(pafs.FileSelector(source_path)):
        pafs.copy_files(
            entry.path,
            os.path.join(target_path, entry.base_name),
            source_filesystem=source_files,
            destination_filesystem=target_files,
        )


def flatten(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Name tensors of several parts by part and name.

    >>> sorted(flatten({"encoder": {"weight": Tensor([1])}}))
    ['encoder/weight']
    """
    return {f"{part}/{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}


def pick(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors of one part, under their own names."""
    return {name[len(part) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{part}/")}
