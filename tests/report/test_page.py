"""The page as text: escaping, what is missing, what stays equal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from chromium import Chromium
from PIL import Image
from report_lake import (
    HOSTILE,
    draw_picture,
    pin,
    put,
    put_all,
    put_events,
    put_items,
    put_rejected,
    put_similar,
)

from kinfolk.jobs.report import make_explain
from kinfolk.report.formatting import format_figure, format_share, wrap_name
from kinfolk.report.page import build_page, write_page
from kinfolk.report.pictures import encode_picture, read_cards
from kinfolk.report.sections import list_sections
from kinfolk.settings import JoinSettings, Settings
from kinfolk.tables.catalog import CLEAN_ITEMS, ITEM_GROUPS, REJECTED_ROWS


def missing(page: str) -> set[str]:
    """Anchors of the sections that say they have nothing to show."""
    parts = re.findall(r'<section id="(\w+)"(.*?)</section>', page, re.DOTALL)
    assert [anchor for anchor, _ in parts] == [section.anchor for section in list_sections()]
    return {anchor for anchor, body in parts if 'class="missing"' in body}


def test_names_are_escaped_wherever_they_stand(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "<b>&</b>" not in text
    assert "<i>nobody" not in text
    assert "{{ 7 * 7 }}" in text
    assert text.count("&lt;script&gt;") > 5


def test_page_needs_nothing_but_itself(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//cdn|@import|@font-face", text)
    assert all(source.startswith("data:") for source in re.findall(r'\ssrc="([^"]*)"', text))
    assert all(target.startswith(("#", "data:,")) for target in re.findall(r'\shref="([^"]*)"', text))
    assert re.findall(r"url\((?!#)", text) == []


def test_full_lake_leaves_no_section_empty(page: Path) -> None:
    assert missing(page.read_text(encoding="utf-8")) == set()


def test_empty_lake_says_what_to_run(lake: str) -> None:
    page = build_page(pin(lake), Settings())
    assert missing(page) == {section.anchor for section in list_sections()}
    assert page.count("<code>kinfolk run --settings FILE") >= 4


def test_events_alone(lake: str) -> None:
    put_events(lake)
    page = build_page(pin(lake), Settings())
    assert missing(page) == {"rejected", "training", "neighbors", "pairs", "groups", "matches"}
    assert "raw items" not in page


def test_items_alone_before_training(lake: str) -> None:
    put_items(lake)
    page = build_page(pin(lake), Settings())
    assert missing(page) == {
        *("rejected", "training", "neighbors", "pairs", "groups", "matches"),
        *("rules", "segments", "sequences", "values"),
    }
    assert page.count("not yet") >= 6
    assert "raw events" not in page


def test_tables_that_are_there_but_empty(lake: str, chromium: Chromium, tmp_path: Path) -> None:
    put_all(lake)
    for table in (ITEM_GROUPS, REJECTED_ROWS):
        put(lake, table, [])
    text = build_page(pin(lake), Settings(), make_explain(JoinSettings()))
    assert missing(text) == {"groups"}
    assert "nothing was turned away" in text
    path = tmp_path / "page.html"
    path.write_text(text, encoding="utf-8")
    assert chromium.visit(path, width=390).complaints == []


def test_neighbors_without_items_or_features_show_ids(lake: str) -> None:
    put_similar(lake)
    page = build_page(pin(lake), Settings())
    assert "left/moon" in page
    assert "neighbors" not in missing(page)


def test_equal_tables_give_an_equal_page(full_lake: str) -> None:
    assert build_page(pin(full_lake), Settings()) == build_page(pin(full_lake), Settings())


def test_numbers_stand_on_the_page_as_a_person_writes_them(lake: str) -> None:
    put_events(lake)
    put_rejected(lake)
    page = build_page(pin(lake), Settings())
    assert "1 of 7 rows read by clean were turned away, 14.3%." in page
    assert "66.7%" in page
    assert "0.0123" in page
    assert "∞" in page


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_pictures_become_small_data_uris(kind: str) -> None:
    encoded = encode_picture(draw_picture("red", size=900, kind=kind))
    assert encoded is not None
    assert encoded.startswith("data:image/webp;base64,")
    assert len(encoded) < 1000


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"<svg onload=alert(1)>", draw_picture("red")[:40], draw_picture("red", kind="PPM")]
)
def test_what_is_no_picture_is_shown_by_its_name(lake: str, content: bytes) -> None:
    put(lake, CLEAN_ITEMS, [{"item_id": "a", "subject_id": "a", "source": "s", "text": HOSTILE, "image": content}])
    card = read_cards(pin(lake), ["a", "gone"])["a"]
    assert card.picture is None
    assert read_cards(pin(lake), ["a", "gone"])["gone"].name == "gone"


def test_a_giant_picture_is_not_decoded() -> None:
    content = io.BytesIO()
    Image.new("1", (8200, 8200)).save(content, "PNG")
    assert len(content.getvalue()) < 100_000
    assert encode_picture(content.getvalue()) is None


def test_writing_replaces_at_once_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "report.html"
    write_page("old", str(target))
    write_page("new", str(target))
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("value", "written"), [(0.0999999, "0.100"), (9.999, "10.0"), (999.6, "1000"), (-0.5, "-0.500"), (1e-7, "1.00e-07")]
)
def test_three_digits_at_the_edges(value: float, written: str) -> None:
    assert format_figure(value) == written


def test_shares_never_hide_that_there_is_something() -> None:
    assert format_share(1e-9) == "<0.001%"


def test_long_words_are_cut_into_their_lines() -> None:
    assert all(len(line) <= 15 for line in wrap_name("X" * 200 + " Y" * 200, 15, 3))
    assert len(wrap_name("X" * 200 + " Y" * 200, 15, 3)) == 3
    assert wrap_name("", 15, 3) == ("",)
