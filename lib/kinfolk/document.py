"""Write the generated pages of docs/; with --check, say which is not current and exit with 1."""

from __future__ import annotations

import sys
from pathlib import Path

from kinfolk.association.document import document_measures
from kinfolk.settings.document import document_settings
from kinfolk.tables.document import document_tables


def write_pages(folder: Path, *, is_check: bool) -> list[Path]:
    """Write each page, or with `is_check` leave it alone; return the pages that were not current."""
    stale = []
    pages = {"tables.md": document_tables(), "settings.md": document_settings(), "measures.md": document_measures()}
    for name, text in pages.items():
        page = folder / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            stale.append(page)
            if not is_check:
                page.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    stale = write_pages(Path("docs"), is_check="--check" in sys.argv[1:])
    if stale and "--check" in sys.argv[1:]:
        sys.exit(f"not current: {', '.join(map(str, stale))}; run `make docs` and commit the result")
