"""Encoders: what they take and give, and that what is saved is what is loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kinfolk.errors import DataError, NotFoundError
from kinfolk.learning.encoders import EncoderShape, build_encoder, hash_vocabulary, load_encoder, save_encoder

SHAPE = EncoderShape(16, (4, 8), 10, hash_vocabulary(["a", "b"]), 6, 5)


def make_pictures(rows: int) -> torch.Tensor:
    return torch.randint(0, 256, (rows, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_saved_encoder_is_the_loaded_one(tmp_path: Path) -> None:
    encoder = build_encoder(SHAPE, seed=3).eval()
    save_encoder(tmp_path, encoder)
    loaded = load_encoder(tmp_path)
    pictures, tokens, offsets = make_pictures(4), torch.tensor([1, 2, 10]), torch.tensor([0, 2, 2, 3])
    assert loaded.shape == SHAPE
    assert torch.equal(loaded.encode_images(pictures), encoder.encode_images(pictures))
    assert torch.equal(loaded.encode_texts(tokens, offsets), encoder.encode_texts(tokens, offsets))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "encoder.safetensors"]
    assert json.loads((tmp_path / "config.json").read_text())["signature"]["output"]["shape"] == [-1, 5]


def test_embeddings_are_unit_vectors_that_depend_on_their_row_alone() -> None:
    encoder = build_encoder(SHAPE, seed=3)
    pictures = make_pictures(6)
    together = encoder.encode_images(pictures)
    apart = torch.cat([encoder.encode_images(pictures[i : i + 1]) for i in range(6)])
    assert together.shape == (6, 5)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(together, apart)


@pytest.mark.parametrize("size", [8, 17, 33, 64])
def test_every_picture_size_works(size: int) -> None:
    encoder = build_encoder(replace(SHAPE, image_size=size, channels=(4, 4, 4, 4)), seed=0)
    assert encoder.encode_images(torch.zeros((2, size, size, 3), dtype=torch.uint8)).shape == (2, 5)


def test_seed_decides_the_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first, same, other = (build_encoder(SHAPE, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.texts.tokens.weight, same.texts.tokens.weight)
    assert not torch.equal(first.texts.tokens.weight, other.texts.tokens.weight)


def test_wrong_input_is_refused_with_what_to_do() -> None:
    encoder = build_encoder(SHAPE, seed=0)
    with pytest.raises(DataError, match="featurize"):
        encoder.encode_images(torch.zeros((1, 8, 8, 3), dtype=torch.uint8))
    with pytest.raises(DataError, match="token id 11"):
        encoder.encode_texts(torch.tensor([11]), torch.tensor([0, 1]))


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="train"):
        load_encoder(tmp_path / "nowhere")
    save_encoder(tmp_path, build_encoder(SHAPE, seed=0))
    (tmp_path / "encoder.safetensors").write_bytes(b"not weights")
    with pytest.raises(DataError, match="cannot be read"):
        load_encoder(tmp_path)


def test_vocabulary_hash_sees_tokens_and_their_order() -> None:
    assert hash_vocabulary(["a", "b"]) == hash_vocabulary(["a", "b"])
    assert len({hash_vocabulary(t) for t in (["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""])}) == 4
