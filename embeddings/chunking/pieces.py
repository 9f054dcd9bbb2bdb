"""Split a long text into pieces: Markdown aware, deterministic, and so that an edit changes only the pieces near it.

`semantic-text-splitter` fills its chunks one after the other: where lines are much alike (code, tables, logs) or there
is only one paragraph, a word more at the top moved every boundary after it, measured. So the text is cut into sections
first, at places that depend on nothing but the text around them, and each section is split by itself.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from typing import Any
from zlib import crc32

from embeddings.batching import TOKENS_PER_BYTE, estimate_tokens
from embeddings.exceptions import ConfigurationError

SPLITTER = "semantic-text-splitter"
INSTALL = 'pip install "django-rq-embeddings[chunks]"'
# To be raised when the same text would give other pieces than before.
_VERSION = 1
# No two cuts are nearer to each other than so many pieces.
_REACH = 3
# A section without a place to cut at (an image as text, say) is cut anyway where it is so many pieces long: the
# splitter's time grows faster than the length.
_LONGEST = 64
# A heading, the first line after an empty one, any line, a sentence; and the lines between which code stands.
_LINE = r"^(?:(?P<fence>[ ]{0,3}(?:```|~~~))|(?P<heading>#{1,6}[ \t])|(?=\S))"
_SENTENCE = r"(?<=[.!?] )(?=\S)|(?<=[\u3002\uff01\uff1f])"  # the latter: of Chinese and Japanese
_PLACES = re.compile(f"(?m){_LINE}|{_SENTENCE}")
# What a place starts with tells it from others.
_SEEN = 48


@dataclass(frozen=True, slots=True)
class Piece:
    """`text` is what the whole text holds from `start` to `end`, in characters."""

    start: int
    end: int
    text: str


def is_installed() -> bool:
    """Whether the splitter is there: an extra of this package."""
    return find_spec(SPLITTER.replace("-", "_")) is not None


def require() -> None:
    """Raise ConfigurationError if the splitter is not there."""
    if not is_installed():
        raise ConfigurationError(f"Long texts are split by {SPLITTER}: {INSTALL}")


@cache
def version() -> str:
    """What makes pieces of a text, beside their size; "" without the splitter."""
    return f"{_VERSION} {metadata.version(SPLITTER)}" if is_installed() else ""


def split(text: str, tokens: int, overlap: int, keep_alive: Callable[[], object] = lambda: None) -> list[Piece]:
    """The pieces of `text`, of at most so many tokens each, by estimate; each repeats `overlap` tokens at most.

    Most white space at the ends of a piece is left out. Pieces at the two sides of a section's boundary do not overlap.
    `keep_alive` is called between sections.
    """
    splitter = _splitter(tokens, overlap)
    piece = int(tokens / TOKENS_PER_BYTE)
    pieces: list[Piece] = []
    for start, end in _sections(text, piece):
        keep_alive()
        for begin, part in _without_gaps(text[start:end], piece):
            for offset, found in splitter.chunk_indices(part):
                if found.strip():
                    at = start + begin + offset
                    pieces.append(Piece(at, at + len(found), found))
    return pieces


def _without_gaps(section: str, piece: int) -> Iterator[tuple[int, str]]:
    """(offset, part) of what stands between white space that would fill a piece of so many characters.

    The splitter's time grows with the square of that: 14 s for 10,000 empty lines, measured.
    """
    start = 0
    for gap in re.finditer(rf"(?<!\s)\s{{{piece},}}", section):
        yield start, section[start : gap.start()]
        start = gap.end()
    yield start, section[start:]


@cache
def _splitter(tokens: int, overlap: int) -> Any:
    from semantic_text_splitter import MarkdownSplitter  # an extra; and not loaded where nothing is split

    return MarkdownSplitter.from_callback(estimate_tokens, tokens, overlap=overlap)


def _sections(text: str, piece: int) -> Iterator[tuple[int, int]]:
    """(start, end) of each, where a piece has about so many characters."""
    start = 0
    for cut in [*_lowest(_places(text), _REACH * piece), len(text)]:
        while cut - start > _LONGEST * piece:
            yield start, start + _LONGEST * piece
            start += _LONGEST * piece
        if cut > start:
            yield start, cut
        start = cut


# (how bad it is to cut there, what tells it from others of the same kind), position
Place = tuple[tuple[int, int], int]


def _places(text: str) -> Iterator[Place]:
    """Where the text may be cut, best at headings and worst in code."""
    is_code = False
    for match in _PLACES.finditer(text):
        position = match.start()
        rank = 4 if is_code else _rank(match, text)
        yield (rank, crc32(text[position : position + _SEEN].encode())), position
        is_code ^= match["fence"] is not None


def _rank(match: re.Match[str], text: str) -> int:
    if match["heading"]:
        return 0
    before = text[max(0, match.start() - 2) : match.start()]
    if before and before[-1] != "\n":
        return 3
    return 2 if before[:1] != "\n" and before else 1


def _lowest(places: Iterator[Place], reach: int) -> Iterator[int]:
    """The positions of those places that are lower than all others within reach at both sides, in one pass."""
    # In their order and ever higher; each with whether nothing within reach before it was as low.
    waiting: deque[tuple[Place, bool]] = deque()
    for place in places:
        key, position = place
        while waiting and waiting[0][0][1] <= position - reach:
            (_, before), is_lowest = waiting.popleft()
            if is_lowest:
                yield before
        while waiting and waiting[-1][0][0] > key:
            waiting.pop()
        waiting.append((place, not waiting))
    yield from (position for (_, position), is_lowest in waiting if is_lowest)
