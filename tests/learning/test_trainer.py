"""The training loop: it learns, goes on where it was killed, and says what it did."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from learning_batches import SHAPE, FixedLoader, loss_of, make_batch, tiny_settings

from kinfolk.errors import DataError
from kinfolk.learning.checkpoints import CheckpointFolder
from kinfolk.learning.encoders import Encoder, build_encoder
from kinfolk.learning.trainer import EpochFigures, train
from kinfolk.learning.world import SingleWorld
from kinfolk.settings import LearningSettings


class KilledError(Exception):
    """Stands for what ends a process."""


def go(
    folder: Path, settings: LearningSettings, *, kill_after: int | None = None
) -> tuple[Encoder, list[EpochFigures]]:
    def on_epoch(figures: EpochFigures) -> None:
        if figures.epoch == kill_after:
            raise KilledError

    encoder = build_encoder(SHAPE, seed=settings.seed)
    checkpoints = CheckpointFolder(str(folder))
    return encoder, train(
        encoder, FixedLoader(), settings, world=SingleWorld(), checkpoints=checkpoints, on_epoch=on_epoch
    )


@pytest.mark.parametrize("augmentation", [0.0, 1.0])
def test_resumed_training_ends_with_the_same_weights_and_curves(tmp_path: Path, augmentation: float) -> None:
    settings = tiny_settings(epochs=5, checkpoint_epochs=2, augmentation=augmentation)
    whole, curves = go(tmp_path / "whole", settings)
    with pytest.raises(KilledError):
        go(tmp_path / "killed", settings, kill_after=3)
    assert CheckpointFolder(str(tmp_path / "killed")).epochs() == [2]
    resumed, resumed_curves = go(tmp_path / "killed", settings)
    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, resumed.state_dict()[name]), name
    assert [(c.epoch, c.loss, c.learning_rate, c.rows) for c in resumed_curves] == [
        (c.epoch, c.loss, c.learning_rate, c.rows) for c in curves
    ]


def test_finished_training_takes_no_further_step(tmp_path: Path) -> None:
    first, curves = go(tmp_path, tiny_settings())
    again, same = go(tmp_path, tiny_settings())
    assert same == curves
    assert all(torch.equal(weights, again.state_dict()[name]) for name, weights in first.state_dict().items())


def test_training_lowers_the_loss_and_counts_rows(tmp_path: Path) -> None:
    settings = tiny_settings(epochs=12, learning_rate=1e-2)
    batch = make_batch(16, seed=101)
    before = float(loss_of(build_encoder(SHAPE, seed=0), batch, SingleWorld()).detach())
    encoder, curves = go(tmp_path, settings)
    after = float(loss_of(encoder, batch, SingleWorld()).detach())
    assert after < 0.9 * before
    assert [c.epoch for c in curves] == list(range(1, 13))
    # One of sixteen rows of both batches is padding.
    assert {c.rows for c in curves} == {30}
    assert {c.wait_seconds for c in curves} == {0.25}
    assert max(c.learning_rate for c in curves) == pytest.approx(1e-2, rel=0.1)
    assert curves[-1].learning_rate < 1e-3


def test_diverged_training_stops_with_what_to_do(tmp_path: Path) -> None:
    encoder = build_encoder(SHAPE, seed=0)
    torch.nn.init.constant_(encoder.pictures.projection.weight, math.nan)
    checkpoints = CheckpointFolder(str(tmp_path))
    with pytest.raises(DataError, match=r"learning\.learning_rate"):
        train(
            encoder,
            FixedLoader(),
            tiny_settings(),
            world=SingleWorld(),
            checkpoints=checkpoints,
            on_epoch=lambda figures: None,
        )
    assert not checkpoints.epochs()


def test_two_checkpoints_are_kept_and_a_broken_one_is_named(tmp_path: Path) -> None:
    go(tmp_path, tiny_settings(epochs=4))
    folder = CheckpointFolder(str(tmp_path))
    assert folder.epochs() == [3, 4]
    assert not list(tmp_path.glob("*.partial"))
    newest = tmp_path / "epoch-00000004.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.raises(DataError, match="epoch-00000004"):
        go(tmp_path, tiny_settings(epochs=6))
