"""The provider of docs/own-providers.md is the one that the conformance suite runs on."""

from __future__ import annotations

from pathlib import Path

from tests.docs.pages import ROOT, blocks_of

PAGE = ROOT / "docs" / "own-providers.md"


def test_own_provider__is_what_the_page_shows() -> None:
    shown = next(block for block in blocks_of(PAGE, "python") if "class HttpProvider" in block.text)

    assert shown.text == Path(__file__).with_name("own_provider.py").read_text()
