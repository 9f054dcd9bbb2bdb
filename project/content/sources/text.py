"""One text of the reference content, before it is an article."""

from __future__ import annotations

from dataclasses import dataclass

from project.content.kinds import Kind

# Shorter documentation says no more than its title.
MIN_CHARACTERS = 20
# An article's slug and title columns are this long.
MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Text:
    """What the loader compares and writes; `slug` names the same text in every run."""

    slug: str
    title: str
    content: str
    source: str
    kind: Kind
    signature: str = ""
    keywords: str = ""


def clean(text: str) -> str:
    """`text` as PostgreSQL and UTF-8 can hold it: without NUL and lone surrogates, and without outer blank lines."""
    return text.replace("\x00", "").encode("utf-8", "ignore").decode().strip()
