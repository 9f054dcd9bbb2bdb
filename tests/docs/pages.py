"""The documents: their pages, fenced blocks, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Whoever adds a page adds a test of it.
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "README.md"])

_FENCE = re.compile(r"^\s*(```+|~~~+)\s*([\w-]*)")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
_LINK = re.compile(r"""(?<!\\)\]\(\s*<?([^)\s>]+)|(?:href|src|srcset)="([^"]+)\"""")
_FILE = re.compile(r"`((?:docs|embeddings|project|tests|benchmarks)/[\w./-]*[\w/])`")


@dataclass(frozen=True)
class Block:
    """A fenced block: the number of its first line in the page, its language, and its lines without indentation."""

    line: int
    language: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def name_of(page: Path) -> str:
    """ "docs/api.md"."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path, *languages: str) -> list[Block]:
    """The page's fenced blocks of these languages."""
    return [block for block in _blocks(page.read_text().splitlines()) if block.language in languages]


def prose_of(page: Path) -> list[tuple[int, str]]:
    """(number, text) of the lines that are in no fenced block."""
    lines = page.read_text().splitlines()
    fenced = {number for block in _blocks(lines) for number in range(block.line - 1, block.line + len(block.lines) + 1)}
    return [(number, line) for number, line in enumerate(lines, start=1) if number not in fenced]


def anchors_of(page: Path) -> set[str]:
    """What an address may name after "#", as GitHub makes it of the headings."""
    found: set[str] = set()
    for _, line in prose_of(page):
        if heading := _HEADING.match(line):
            anchor = _anchor(heading[1])
            repeated = (f"{anchor}-{number}" for number in range(1, 100))
            found.add(anchor if anchor not in found else next(each for each in repeated if each not in found))
    return found


def links_of(page: Path) -> Iterator[tuple[int, str]]:
    """(line, address) of each link and picture."""
    for number, line in prose_of(page):
        for inline, attribute in _LINK.findall(line):
            yield number, inline or attribute


def files_in(page: Path) -> Iterator[tuple[int, str]]:
    """(line, path) of each file or folder of the repository that the prose names."""
    for number, line in prose_of(page):
        for path in _FILE.findall(line):
            yield number, path


def table_under(page: Path, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, cell by cell, without its head."""
    lines = iter(line for _, line in prose_of(page))
    for line in lines:
        if (found := _HEADING.match(line)) and found[1].replace("`", "") == heading:
            break
    else:
        raise AssertionError(f"{name_of(page)} has no heading {heading!r}.")
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows or _HEADING.match(line):
            break
    return rows[2:]


def _blocks(lines: list[str]) -> Iterator[Block]:
    fence, start, language, inside = "", 0, "", []
    for number, line in enumerate(lines, start=1):
        found = _FENCE.match(line)
        if not fence and found:
            fence, language, start, inside = found[1], found[2], number + 1, []
            indentation = len(line) - len(line.lstrip())
        elif fence and line.strip() == fence:
            yield Block(start, language, tuple(inside))
            fence = ""
        elif fence:
            inside.append(line[indentation:] if not line[:indentation].strip() else line)
    assert not fence, f"The block that begins before line {start} has no end."


def _anchor(heading: str) -> str:
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
