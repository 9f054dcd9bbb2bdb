"""Real texts that are on every machine with Python: no network, nothing personal, nothing of ours to maintain."""

from __future__ import annotations

from collections.abc import Iterator

from project.content.sources import compiled, readmes, reference, stdlib
from project.content.sources.text import Text

__all__ = ["Text", "all_texts"]


def all_texts() -> Iterator[Text]:
    """Every text once, in the same order each time; where two have one slug, the first stays.

    Source code goes before compiled modules: it says the same with a better signature.
    """
    seen: set[str] = set()
    for source in (stdlib, compiled, reference, readmes):
        for text in source.texts():
            if text.slug not in seen:
                seen.add(text.slug)
                yield text
