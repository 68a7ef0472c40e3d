"""The split: reproducible by anyone, about as large as asked for, and stable."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfolk.features.split import Split, choose_split

SUBJECTS = [f"subject {number}" for number in range(4000)]


def held_out(share: float, seed: int = 0) -> set[str]:
    return {s for s in SUBJECTS if choose_split(s, held_out_share=share, seed=seed) is Split.HELD_OUT}


@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(0, 1), st.integers(-3, 3))
def test_the_side_follows_from_the_documented_hash(subject, share, seed):
    first = int(hashlib.sha256(f"{seed}:{subject}".encode()).hexdigest()[:16], 16)
    expected = "held_out" if first // 2048 / 2**53 < share else "train"
    assert choose_split(subject, held_out_share=share, seed=seed) == expected


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_share_is_about_what_was_asked_for(share):
    assert abs(len(held_out(share)) / len(SUBJECTS) - share) < 0.03


def test_nothing_and_everything_can_be_held_out():
    assert held_out(0.0) == set()
    assert held_out(1.0) == set(SUBJECTS)


def test_a_larger_share_holds_out_more_and_the_same():
    assert held_out(0.1) < held_out(0.2) < held_out(0.4)


def test_another_seed_holds_out_others():
    overlap = len(held_out(0.2, seed=1) & held_out(0.2, seed=2)) / len(SUBJECTS)
    assert 0.02 < overlap < 0.06
