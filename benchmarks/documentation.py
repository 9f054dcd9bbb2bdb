"""Short texts of real words: each two passages of what Python's documentation says of one module.

They come from the installed Python, as the reference project's articles do, and so from every machine.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import chain, islice

from project.content.sources import compiled, reference, stdlib

WORDS = 8
# Few texts are made of a few articles, so that they are had at once.
PER_ARTICLE = 2


def texts(number: int) -> Iterator[tuple[str, str]]:
    """So many different (title, body), together of about 100 characters; always the same."""
    chooser = random.Random(7)
    passages = _passages(articles=20 + number // PER_ARTICLE)
    sources = sorted(passages)
    weights = [len(passages[source]) for source in sources]
    seen: set[tuple[str, str]] = set()
    while len(seen) < number:
        for source in chooser.choices(sources, weights, k=number - len(seen)):
            text = (chooser.choice(passages[source]), chooser.choice(passages[source]))
            if text not in seen:
                seen.add(text)
                yield text


@cache
def _passages(articles: int) -> dict[str, list[str]]:
    """By the module that they are about."""
    found: dict[str, list[str]] = defaultdict(list)
    # The quick ones first, so that a few are had at once.
    every = chain(reference.texts(), compiled.texts(), stdlib.texts())
    for article in islice(every, articles):
        words = article.content.split()
        pieces = (" ".join(words[start : start + WORDS]) for start in range(0, len(words), WORDS))
        found[article.source] += [piece[:200] for piece in pieces if len(piece) > 2 * WORDS]
    return {source: pieces for source, pieces in found.items() if len(pieces) > 20}
