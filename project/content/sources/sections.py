"""Split Markdown and reStructuredText at their headings."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# About 750 tokens: one subject, and far below what any provider takes.
MAX_CHARACTERS = 3000

ATX = re.compile(r"^#{1,6}\s+(?P<heading>.+?)\s*#*$")
FENCE = re.compile(r"^\s*(?:```|~~~)(?P<language>.*)$")
RULE = re.compile(r"^([=\-~^\"'#*+])\1{2,}\s*$")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading ("" before the first one), and the text up to the next."""

    heading: str
    body: str


def split(text: str) -> Iterator[Section]:
    """The sections of `text` that say something, in their order.

    One longer than MAX_CHARACTERS becomes several with the same heading, cut between paragraphs.
    """
    for heading, lines in _under_headings(text.splitlines()):
        for body in _pieces("\n".join(lines).strip("\n")):
            yield Section(heading, body)


def as_markdown(text: str) -> str:
    """`text` with its headings as Markdown has them: those underlined alike have one level, first used highest."""
    written, underlines = list[str](), list[str]()
    for heading, lines in _parts(text.splitlines()):
        if heading is None or ATX.match(lines[0]):
            written += lines
            continue
        underline = lines[-1][0] * len(lines)
        if underline not in underlines:
            underlines.append(underline)
        written.append(f"{'#' * min(6, 1 + underlines.index(underline))} {heading}")
    return "\n".join(written)


def _under_headings(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    heading, body = "", list[str]()
    for found, used in _parts(lines):
        if found is None:
            body += used
        else:
            yield heading, body
            heading, body = found, []
    yield heading, body


def _parts(lines: list[str]) -> Iterator[tuple[str | None, list[str]]]:
    """Each heading with the lines that make it, and each other line by itself with None."""
    fenced, index = False, 0
    while index < len(lines):
        if fence := FENCE.match(lines[index]):
            # Only a bare fence closes, so that a README which forgot one goes wrong for no longer than that.
            fenced = bool(fence["language"]) or not fenced
        heading, used = (None, 1) if fenced else _heading_at(lines, index)
        yield heading, lines[index : index + used]
        index += used


def _heading_at(lines: list[str], index: int) -> tuple[str | None, int]:
    """The heading at `index`, None for none, with the number of its lines: "# A", "A / ===" or "=== / A / ==="."""
    line, after = lines[index], lines[index + 1 : index + 3]
    if atx := ATX.match(line):
        return atx["heading"], 1
    if RULE.match(line) and len(after) == 2 and line.rstrip() == after[1].rstrip() and after[0].strip():
        return after[0].strip(), 3
    if _is_title(line) and after and RULE.match(after[0]) and len(after[0].rstrip()) >= len(line.rstrip()):
        return line.strip(), 2
    return None, 1


def _is_title(line: str) -> bool:
    return bool(re.match(r"[^\s|>]", line)) and not line.startswith(("..", "- ")) and not RULE.match(line)


def _pieces(body: str) -> Iterator[str]:
    """`body` in runs of whole paragraphs, or of whole lines where a paragraph is too long by itself."""
    for piece in _runs(_paragraphs(body), "\n\n"):
        yield textwrap.dedent(piece).strip("\n")


def _paragraphs(body: str) -> Iterator[str]:
    for paragraph in filter(None, re.split(r"\n\s*\n", body)):
        yield from [paragraph] if len(paragraph) <= MAX_CHARACTERS else _runs(paragraph.splitlines(), "\n")


def _runs(parts: Iterable[str], separator: str) -> Iterator[str]:
    """The parts joined into strings of at most MAX_CHARACTERS; a longer part stays whole."""
    run, size = list[str](), 0
    for part in parts:
        if run and size + len(separator) + len(part) > MAX_CHARACTERS:
            yield separator.join(run)
            run, size = [], 0
        size += len(part) + len(separator) * bool(run)
        run.append(part)
    if run:
        yield separator.join(run)
