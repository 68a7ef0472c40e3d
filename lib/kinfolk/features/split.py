"""Which subjects training never sees."""

from __future__ import annotations

import hashlib
from enum import StrEnum


class Split(StrEnum):
    """Sides of the split."""

    TRAIN = "train"
    HELD_OUT = "held_out"


def choose_split(subject_id: str, *, held_out_share: float, seed: int) -> Split:
    """Choose the side of a subject, and so of all its items; about `held_out_share` of the subjects are held out.

    The first 53 bits of SHA-256 of `<seed>:<subject_id>` in UTF-8, as a fraction of 2^53, are below the share for the
    subjects held out. So the side depends on nothing else: it stays when items are added, any engine can compute it,
    and a larger share holds out the same subjects and more.

    >>> choose_split("1F600", held_out_share=1.0, seed=0)
    <Split.HELD_OUT: 'held_out'>
    """
    digest = hashlib.sha256(f"{seed}:{subject_id}".encode()).digest()
    fraction = (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)
    return Split.HELD_OUT if fraction < held_out_share else Split.TRAIN
