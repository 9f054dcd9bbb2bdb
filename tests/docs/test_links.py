"""Links lead somewhere."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import PAGES, ROOT, anchors_of, files_in, links_of, name_of

INDEX = ROOT / "docs" / "README.md"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links__lead_to_files_and_headings(page: Path) -> None:
    broken = [f"{name_of(page)}:{line}: {address}" for line, address in links_of(page) if not leads(page, address)]

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files__that_are_named_are_there(page: Path) -> None:
    missing = [f"{name_of(page)}:{line}: {path}" for line, path in files_in(page) if not (ROOT / path).exists()]

    assert missing == []


def test_index__names_every_page() -> None:
    linked = {(INDEX.parent / urlsplit(address).path).resolve() for _, address in links_of(INDEX)}
    pages = {page for page in PAGES if page.parent == INDEX.parent and page != INDEX}

    assert pages - linked == set()


def leads(page: Path, address: str) -> bool:
    """Whether there is such a file, and such a heading in it; other hosts are not asked."""
    parts = urlsplit(address)
    if parts.scheme:
        return parts.scheme in {"http", "https", "mailto"}
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.exists():
        return False
    return not parts.fragment or (target.suffix == ".md" and parts.fragment in anchors_of(target))


def test_leads__finds_what_is_broken() -> None:
    page = ROOT / "README.md"

    assert leads(page, "docs/reliability.md#promised")
    assert not leads(page, "docs/reliability.md#no-such-heading")
    assert not leads(page, "docs/no-such-page.md")
    assert not leads(page, "#no-such-heading")
