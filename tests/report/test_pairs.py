"""The section that says why items are similar."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium
from report_lake import COSINE, EMBEDDINGS, HOSTILE, pin, put, put_items, put_similar

from kinfolk.jobs.report import make_explain
from kinfolk.report.charts import draw_bars
from kinfolk.report.page import build_page
from kinfolk.report.sections.pairs import Pairs, read_pairs
from kinfolk.settings import Settings
from kinfolk.tables.catalog import CLEAN_ITEMS, ITEM_EMBEDDINGS, SIMILAR_PAIRS

WORDS = {"measure": "jaccard", "threshold": 0.2, "tokens": {"length": 1}}


def settings_of(report: dict[str, Any] | None = None, **similarity: Any) -> Settings:
    return Settings.model_validate({"report": report or {}, "similarity": similarity})


def read(lake: str, settings: Settings) -> Pairs | None:
    return read_pairs(pin(lake), settings, explain=make_explain(settings.similarity))


def put_texts(lake: str, texts: dict[str, str], pairs: list[tuple[str, str, float]]) -> None:
    put(lake, CLEAN_ITEMS, ({"item_id": i, "subject_id": i, "source": "s", "text": t} for i, t in texts.items()))
    put(lake, SIMILAR_PAIRS, ({"left_id": a, "right_id": b, "similarity": s} for a, b, s in pairs))


def put_alike(lake: str, left: str, right: str, settings: Settings) -> None:
    """Two items that are a pair, as similar as the join finds them."""
    similarity = make_explain(settings.similarity)(left, right).similarity
    put_texts(lake, {"a": left, "b": right}, [("a", "b", similarity)])


def put_ladder(lake: str, steps: int) -> dict[tuple[str, str], float]:
    """Pairs a00-b00, a01-b01, … of texts that share ever more words, and one pair that takes up an item again."""
    texts, pairs = {}, {}
    for step in range(steps):
        own, shared = [f"own{step}"], [f"w{step}x{n}" for n in range(step + 1)]
        texts[f"a{step:02}"], texts[f"b{step:02}"] = " ".join(shared), " ".join(shared + own)
        pairs[f"a{step:02}", f"b{step:02}"] = (step + 1) / (step + 2)
    texts["c"] = texts[f"a{steps - 1:02}"] + " yet another"
    pairs[f"a{steps - 1:02}", "c"] = steps / (steps + 2)
    put_texts(lake, texts, [(*ends, similarity) for ends, similarity in pairs.items()])
    return pairs


def test_the_most_similar_pairs_and_those_at_the_threshold_are_shown_no_item_twice(lake: str) -> None:
    put_ladder(lake, 9)
    content = read(lake, settings_of({"pair_examples": 5}, **WORDS))
    assert content is not None
    assert [(p.left.card.item_id, p.right.card.item_id, p.is_least) for p in content.shown] == [
        ("a08", "b08", False), ("a07", "b07", False), ("a06", "b06", False), ("a01", "b01", True), ("a00", "b00", True),
    ]  # fmt: skip
    assert [p.similarity for p in content.shown] == [9 / 10, 8 / 9, 7 / 8, 2 / 3, 1 / 2]


def test_few_pairs_are_shown_once_each(lake: str) -> None:
    put_ladder(lake, 2)
    content = read(lake, settings_of({"pair_examples": 6}, **WORDS))
    assert content is not None
    assert [p.left.card.item_id for p in content.shown] == ["a01", "a00"]
    assert read(lake, settings_of({"pair_examples": 0}, **WORDS)) is None


def test_shared_words_are_marked_in_both_texts_and_counted(lake: str) -> None:
    settings = settings_of(**WORDS)
    put_alike(lake, "A red, RED cup", f"the red cup {HOSTILE}", settings)
    page = build_page(pin(lake), settings, make_explain(settings.similarity))
    section = re.search(r'<section id="pairs".*?</section>', page, re.DOTALL)
    assert section is not None
    left, right = re.findall(r'<p class="words" dir="auto">(.*?)</p>', section[0])
    assert left == "A <mark>red</mark>, <mark>RED</mark> <mark>cup</mark>"
    assert right.startswith("the <mark>red</mark> <mark>cup</mark> &lt;script&gt;")
    assert "2 are in both, of 3 tokens on the left" in section[0]
    assert re.search(r"Number of tokens: A red and [^<]*: in both 2; only left 1; only right \d+", section[0])


def test_long_texts_are_cut_but_not_where_they_are_alike(lake: str) -> None:
    own, shared = " ".join(f"own{n}" for n in range(500)), "the very same words"
    put_texts(lake, {"a": f"{own} {shared} {own}", "b": shared}, [("a", "b", 4 / 504)])
    content = read(lake, settings_of(**WORDS))
    assert content is not None
    passages = content.shown[0].left.passages
    assert sum(len(text) for text, _ in passages) < 400
    assert [text for text, is_shared in passages if is_shared] == shared.split()
    assert passages[0][0].startswith("own0 ")
    assert " … " in passages[0][0]


def test_pictures_stand_above_the_dimensions_that_carry_the_cosine(lake: str) -> None:
    put_items(lake)
    put_similar(lake)
    settings = settings_of()
    content = read(lake, settings)
    assert content is not None
    assert {(p.left.card.item_id, p.right.card.item_id) for p in content.shown} == {
        (f"left/{subject}", f"right/{subject}") for subject in ("cat", "dog", "sun")
    }
    pair = content.shown[0]
    assert pair.similarity == COSINE
    assert pair.left.card.picture is not None
    assert pair.left.passages == ()
    shown = [(bar.name, bar.value, bar.is_against) for bar in pair.chart.bars]
    assert shown == [
        ("dimension 0", "0.320", False),
        ("dimension 1", "0.320", False),
        ("dimension 2", "0.0800", False),
        ("dimension 3", "-0.0800", True),
    ]
    assert pair.words == "1 of 4 dimensions carries half of the similarity, 2 carry 90% of it"


def test_text_embeddings_are_shown_with_their_whole_texts(lake: str) -> None:
    put_texts(lake, {"a": "one text", "b": "another one"}, [("a", "b", COSINE)])
    model = {"model_name": "m", "model_version": "1", "source_version": 0, "modality": "text"}
    vectors = zip("ab", EMBEDDINGS.values(), strict=True)
    put(lake, ITEM_EMBEDDINGS, (model | {"item_id": i, "embedding": vector} for i, vector in vectors))
    content = read(lake, settings_of(modality="text"))
    assert content is not None
    assert content.shown[0].left.passages == (("one text", False),)


@pytest.mark.parametrize("changed", ["similarity", "text", "gone", "measure"])
def test_a_pair_that_comes_out_otherwise_than_the_join_found_it_is_left_out(lake: str, changed: str) -> None:
    texts = {"a": "one two three", "b": "one two four", "c": "five six", "d": "five six seven"}
    texts |= {"text": {"a": "..."}, "gone": {}}.get(changed, {})
    if changed == "gone":
        del texts["a"]
    put_texts(lake, texts, [("a", "b", 0.6 if changed == "similarity" else 0.5), ("c", "d", 2 / 3)])
    content = read(lake, settings_of(**WORDS | ({"measure": "overlap"} if changed == "measure" else {})))
    shown = [] if content is None else [pair.left.card.item_id for pair in content.shown]
    assert shown == ([] if changed == "measure" else ["c"])


def test_bars_are_as_long_as_their_numbers_and_turn_at_zero() -> None:
    chart = draw_bars("what", [("a", 4.0), ("b", -1.0), ("c", 2.0)], is_count=False)
    a, b, c = chart.bars
    assert a.length == pytest.approx(2 * c.length) == pytest.approx(4 * b.length)
    assert a.x == c.x == chart.zero == pytest.approx(b.x + b.length)
    assert [bar.is_against for bar in chart.bars] == [False, True, False]
    assert [bar.value for bar in draw_bars("n", [("a", 1234.0)], is_count=True).bars] == ["1,234"]
    assert draw_bars("nothing", [("a", 0.0)], is_count=True).bars[0].length == 0


@pytest.mark.parametrize("width", [1280, 320])
def test_texts_side_by_side_fit_the_page(lake: str, chromium: Chromium, tmp_path: Path, width: int) -> None:
    word = "Donaudampfschifffahrtsgesellschaft" * 3
    # Runs of words, so that the marks cover what stands between them.
    settings = settings_of(**WORDS | {"tokens": {"length": 2}})
    put_alike(lake, f"{word} {HOSTILE}", f"{HOSTILE} {word} السلام عليكم", settings)
    path = tmp_path / "page.html"
    path.write_text(build_page(pin(lake), settings, make_explain(settings.similarity)), encoding="utf-8")
    visit = chromium.visit(path, width=width)
    assert visit.complaints == []
    assert "<script>" in visit.evaluate("document.querySelector('#pairs .words').textContent")
    assert "</script>" in visit.evaluate("document.querySelector('#pairs .words mark').textContent")
    assert visit.evaluate("document.querySelectorAll('img[src=x]').length") == 0
    assert visit.evaluate("document.documentElement.scrollWidth") <= width
    assert visit.evaluate("document.scripts.length") == 0
