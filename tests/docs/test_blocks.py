"""What the documents show is at least well formed."""

from __future__ import annotations

import ast
import configparser
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import PAGES, ROOT, Block, blocks_of, name_of
from tests.docs.shell import commands_of

# Those that are read by a test; a picture of a terminal, a message, or a command for another machine is `text`.
LANGUAGES = {"console", "text", "python", "yaml", "ini", "toml", "json", "sql", "html", "nginx", ""}


def read_ini(text: str) -> None:
    """systemd repeats keys, and its "%i" is no interpolation."""
    configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",)).read_string(text)


READERS: dict[str, Callable[[str], object]] = {
    "python": ast.parse,
    "yaml": yaml.safe_load,
    "ini": read_ini,
    "toml": tomllib.loads,
}


def blocks() -> list[tuple[Path, Block]]:
    return [(page, block) for page in PAGES for block in blocks_of(page, *LANGUAGES)]


@pytest.mark.parametrize(
    ("page", "block"),
    [(page, block) for page, block in blocks() if block.language in READERS],
    ids=lambda value: name_of(value) if isinstance(value, Path) else f"{value.line}",
)
def test_blocks__can_be_read(page: Path, block: Block) -> None:
    READERS[block.language](block.text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks__have_a_language_that_is_known(page: Path) -> None:
    fences = [line for line in page.read_text().splitlines() if line.lstrip().startswith("```")]

    assert len(fences) == 2 * len(blocks_of(page, *LANGUAGES))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks__of_a_console_begin_with_a_command(page: Path) -> None:
    for block in blocks_of(page, "console"):
        assert block.lines and block.lines[0].startswith("$ "), f"line {block.line} is no command"
        assert list(commands_of(block))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages__name_no_path_of_this_machine(page: Path) -> None:
    text = page.read_text()

    assert str(ROOT) not in text
    assert str(Path.home()) + "/" not in text
