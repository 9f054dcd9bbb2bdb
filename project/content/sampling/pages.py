"""The sample workspaces: a handbook of this product, and the READMEs of the installed packages."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

from django.db import transaction

from project.content.models import Block, Page, Workspace
from project.content.sources import readmes

HANDBOOK = Path(__file__).parents[1] / "samples" / "handbook"


def load() -> int:
    """Write the workspaces that are missing, with their pages; returns how many pages.

    A workspace is filled when it is made. From then on it is its members': what they edit, rename or delete stays so.
    """
    return _fill("Packages", readmes.whole()) + _fill("Handbook", _handbook(), _handbook_blocks())


@transaction.atomic
def _fill(name: str, texts: Iterable[tuple[str, str]], blocks: dict[str, list[str]] | None = None) -> int:
    """Make a workspace of (title, Markdown) pages; `blocks` has the texts of their blocks by title."""
    workspace, is_new = Workspace.objects.get_or_create(name=name)
    if not is_new:
        return 0
    pages = [Page(workspace=workspace, title=title, content=content) for title, content in texts]
    Page.objects.bulk_create(pages)
    Block.objects.bulk_create(
        Block(page=page, position=position, text=text)
        for page in pages
        for position, text in enumerate((blocks or {}).get(page.title, ()))
    )
    return len(pages)


def _handbook() -> Iterable[tuple[str, str]]:
    """Each file's first line, "# Title", is its title, and the rest its text."""
    for path in sorted(HANDBOOK.glob("*.md")):
        heading, _, content = path.read_text(encoding="utf-8").partition("\n")
        yield heading.removeprefix("# "), content.strip()


def _handbook_blocks() -> dict[str, list[str]]:
    return tomllib.loads((HANDBOOK / "blocks.toml").read_text(encoding="utf-8"))
