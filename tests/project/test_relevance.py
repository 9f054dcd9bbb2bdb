"""What the reference content, the local model and the grouping are worth together, without a database."""

from __future__ import annotations

import numpy as np
import pytest

from embeddings.conf import ProviderSettings
from embeddings.providers.local import LocalProvider
from embeddings.search import Hit
from project.content import sources
from project.content.finding import CANDIDATES
from project.content.grouping import grouped
from project.content.models import Article
from project.content.sources import Text

PROVIDER = LocalProvider(ProviderSettings("default", "…", "l2_supercat_256", 256))


def vectors(texts: list[str]) -> np.ndarray:
    size = PROVIDER.max_inputs
    return np.stack([v for at in range(0, len(texts), size) for v in PROVIDER.embed(texts[at : at + size]).vectors])


@pytest.fixture(scope="module")
def texts() -> list[Text]:
    return list(sources.all_texts())


@pytest.fixture(scope="module")
def embedded(texts: list[Text]) -> np.ndarray:
    return vectors(["\n\n".join(filter(None, [text.title, text.keywords, text.content])) for text in texts])


def found(query: str, texts: list[Text], embedded: np.ndarray) -> list[str]:
    """The sources of a search by meaning, as the start page orders them."""
    scores = embedded @ vectors([query])[0]
    best = np.argsort(-scores)[:CANDIDATES]
    hits = (Hit(Article(pk=int(index), source=texts[index].source), scores[index], "both") for index in best)
    return [group.source for group in grouped(hits)]


@pytest.mark.parametrize(
    ("query", "source", "place"),
    [
        ("run a program and read what it prints", "subprocess", 12),
        ("run a program and read its output", "subprocess", 3),
        ("parse command line arguments", "argparse", 3),
        ("make a temporary file", "tempfile", 3),
        ("compress a folder into a zip archive", "zipfile", 3),
        ("send an email", "smtplib", 5),
        ("random choice from a list", "random", 5),
        ("regular expression find all matches", "re", 5),
    ],
)
def test_grouped__the_module_to_use_is_near_the_top(query, source, place, texts, embedded):
    assert source in found(query, texts, embedded)[:place]
