"""The page in a real browser: wide and narrow, light and dark."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from chromium import Chromium
from report_lake import HOSTILE

WIDTHS = [1280, 390, 320]


@pytest.mark.parametrize("is_dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_page_opens_without_complaint_and_asks_for_nothing(
    chromium: Chromium, page: Path, width: int, is_dark: bool
) -> None:
    visit = chromium.visit(page, width=width, is_dark=is_dark)
    assert visit.complaints == []
    assert [url for url in visit.requests if not url.startswith("data:")] == [page.resolve().as_uri()]
    assert (
        visit.evaluate("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length") == 0
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out_sideways(chromium: Chromium, page: Path, width: int) -> None:
    visit = chromium.visit(page, width=width)
    assert visit.evaluate("document.documentElement.scrollWidth") <= width
    beyond = f"""[...document.querySelectorAll('body *')].filter(e => !e.closest('.unseen, thead') &&
        e.getBoundingClientRect().right > {width} + 1).map(e => e.outerHTML.slice(0, 80))"""
    assert visit.evaluate(beyond) == []


def test_every_picture_is_decoded_and_described(chromium: Chromium, page: Path) -> None:
    visit = chromium.visit(page, width=1280)
    pictures = visit.evaluate(
        "[...document.images].map(i => [i.complete, i.naturalWidth, i.alt.length, i.clientWidth])"
    )
    assert len(pictures) > 12
    assert all(complete and natural > 0 and alt > 0 and shown > 10 for complete, natural, alt, shown in pictures)


@pytest.mark.parametrize(("width", "shown"), [(1280, "wide"), (390, "tall")])
def test_one_drawing_of_the_road_is_shown(chromium: Chromium, page: Path, width: int, shown: str) -> None:
    visit = chromium.visit(page, width=width)
    visible = (
        "[...document.querySelectorAll('.road svg')].filter(s => s.clientWidth > 0).map(s => s.getAttribute('class'))"
    )
    assert visit.evaluate(visible) == [shown]


@pytest.mark.parametrize("width", [1280, 390])
def test_labels_of_drawings_stay_readable_and_inside(chromium: Chromium, page: Path, width: int) -> None:
    """Every label of a visible drawing is at least 9 pixels high on the screen and inside its drawing."""
    labels = chromium.visit(page, width=width).evaluate(
        """[...document.querySelectorAll('main svg')].filter(s => s.clientWidth > 30).flatMap(s => {
             const frame = s.getBoundingClientRect(), scale = frame.width / s.viewBox.baseVal.width;
             return [...s.querySelectorAll('text')].map(t => {
               const box = t.getBoundingClientRect();
               return [t.textContent, parseFloat(getComputedStyle(t).fontSize) * scale,
                       box.left >= frame.left - 2 && box.right <= frame.right + 2]; }) })"""
    )
    assert len(labels) > 40
    assert [label for label, size, is_inside in labels if size < 9 or not is_inside] == []


@pytest.mark.parametrize("is_dark", [False, True])
def test_text_stands_out_from_its_ground(chromium: Chromium, page: Path, is_dark: bool) -> None:
    """Contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3) between each colour of text and the ground below it."""
    ratios = chromium.visit(page, width=1280, is_dark=is_dark).evaluate(
        """(() => {
          const rgb = c => c.match(/[\\d.]+/g).map(Number);
          const light = c => { const [r, g, b] = rgb(c).map(v => v / 255).map(
            v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b };
          const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
            if (!/, 0\\)$/.test(c)) return c } };
          return [...document.querySelectorAll(
            'p, h1, h2, h3, td, th, dt, dd, b, a, li, caption, code, small, q, mark, .cosine, .tick')]
            .filter(e => e.clientWidth && !e.closest('svg')).map(e => {
              const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
              return [e.outerHTML.slice(0, 90), (Math.max(a, b) + .05) / (Math.min(a, b) + .05)] }) })()"""
    )
    assert len(ratios) > 60
    assert [found for found, ratio in ratios if ratio < 4.5] == []


def test_hostile_names_are_text(chromium: Chromium, page: Path) -> None:
    visit = chromium.visit(page, width=1280)
    assert visit.evaluate("document.scripts.length") == 0
    assert visit.evaluate("document.querySelectorAll('[onerror], img[src=x], main b b, footer i').length") == 0
    assert HOSTILE in visit.evaluate("document.querySelector('.rules').textContent")
    titles = visit.evaluate("[...document.querySelectorAll('svg title')].map(t => t.textContent)")
    assert any(HOSTILE in title for title in titles)


def test_dark_differs_from_light(chromium: Chromium, page: Path) -> None:
    grounds = [
        chromium.visit(page, width=1280, is_dark=is_dark).evaluate("getComputedStyle(document.body).backgroundColor")
        for is_dark in (False, True)
    ]
    assert grounds[0] != grounds[1]


def test_headings_descend_one_at_a_time(chromium: Chromium, page: Path) -> None:
    levels = chromium.visit(page, width=1280).evaluate(
        "[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
