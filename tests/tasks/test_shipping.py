from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kinfolk.tasks.shipping import receive, ship


def test_what_is_shipped_comes_as_it_was_without_a_copy_of_its_arrays(tmp_path: Path) -> None:
    matrix = np.arange(6000, dtype=np.float32).reshape(-1, 3)
    thing = {"matrix": matrix, "ids": pa.array(["b", "a", None]), "empty": np.empty((0, 4)), "word": "x"}
    found = receive(ship(thing, str(tmp_path)))
    assert (found["matrix"] == matrix).all()
    assert found["ids"].equals(thing["ids"])
    assert (found["empty"].shape, found["word"]) == ((0, 4), "x")
    assert not found["matrix"].flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        found["matrix"][0, 0] = 1


def test_two_things_in_one_folder_stay_apart(tmp_path: Path) -> None:
    paths = [ship(np.full(3, number), str(tmp_path / "new")) for number in range(2)]
    assert [receive(path).tolist() for path in paths] == [[0, 0, 0], [1, 1, 1]]
