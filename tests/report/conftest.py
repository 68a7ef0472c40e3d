"""Fixtures of the report's tests: a browser, and the page of a full lake."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Chromium, running_chromium
from report_lake import pin, put_all

from kinfolk.jobs.report import make_explain
from kinfolk.report.page import build_page
from kinfolk.settings import Settings


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """One browser for all tests of the page; its absence is an error, not a reason to skip."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("the tests of the report need Chromium; install it with: apt-get install -y chromium")
    with running_chromium(program) as browser:
        yield browser


@pytest.fixture(scope="session")
def full_lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A lake with every table."""
    root = str(tmp_path_factory.mktemp("full") / "lake")
    put_all(root)
    return root


@pytest.fixture(scope="session")
def page(full_lake: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the full lake, in a file."""
    settings = Settings.model_validate({"report": {"credits": ["Pictures by <i>nobody</i>, CC0"]}})
    path = tmp_path_factory.mktemp("page") / "report.html"
    page = build_page(pin(full_lake), settings, make_explain(settings.similarity))
    path.write_text(page, encoding="utf-8")
    return path
