"""What a search by the HNSW index finds of what an exact search finds, also where a filter keeps little."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from django.db import connection
from django.db.models import F, QuerySet

from embeddings.providers import get_provider
from project.content.models import Article
from tests.quality import queries

pytestmark = pytest.mark.django_db(databases=["default", "other"])

INDEX = "article_meaning"
ENOUGH = 0.95
K = 10
# Articles whose first line is a query too; of all queries, every fourth is asked with a filter.
ARTICLES = 300
WITH_FILTER = 4
# Vectors are of single precision, and some texts have the same one: as near as the last of the ten best is as good.
EPSILON = 1e-5

ROWS = {
    "all": Article.objects.all(),
    # Whatever they are about …
    "1 % at random": Article.objects.alias(part=F("pk") % 100).filter(part=7),
    # … and all far from most queries.
    "1 % of one source": Article.objects.filter(source="datetime"),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """How much of the exact answers was found on average, and how often the index was scanned for it."""

    rows: str
    recall: float
    queries: int
    scans: int

    def __str__(self) -> str:
        return f"recall@10 of the index, {self.rows}: {self.recall:.3f} ({self.queries} queries, {self.scans} scans)"


@pytest.fixture(scope="module")
def texts(documentation: set[str]) -> list[str]:
    """The judged queries, and the first lines of articles of all kinds."""
    contents = Article.objects.order_by("slug").values_list("content", flat=True)
    return [
        *(query.text for query in queries.load()),
        *(text.splitlines()[0].strip() for text in contents[:: len(contents) // ARTICLES]),
    ]


@pytest.fixture(scope="module")
def vectors(texts: list[str]) -> np.ndarray:
    """The vector of each text, in rows."""
    return np.stack(get_provider("default").embed(texts).vectors)


# Of the module, and so outside of the tests' transactions: a setting that a search makes for its own transaction must
# not help the next one.
@pytest.fixture(scope="module", params=ROWS)
def measured(request: pytest.FixtureRequest, texts: list[str], vectors: np.ndarray) -> Measured:
    """With the plans that PostgreSQL chooses."""
    return _measured(request.param, texts, vectors)


@pytest.fixture(scope="module", params=["1 % at random", "1 % of one source"])
def measured_by_index(request: pytest.FixtureRequest, texts: list[str], vectors: np.ndarray) -> Measured:
    """As if the table were so large that PostgreSQL chose the index for a filter too."""
    with _index_preferred():
        return _measured(request.param, texts, vectors)


def test_search__finds_what_an_exact_search_finds(measured, report):
    report.append(str(measured))

    assert measured.recall >= ENOUGH
    assert measured.rows != "all" or measured.scans >= measured.queries


def test_search__finds_it_where_the_index_is_preferred_too(measured_by_index, report):
    report.append(f"{measured_by_index}, index preferred")

    assert measured_by_index.recall >= ENOUGH


def _measured(rows: str, texts: list[str], vectors: np.ndarray) -> Measured:
    step = 1 if rows == "all" else WITH_FILTER
    before = _scans()
    recall = _recall(ROWS[rows].all(), texts[::step], vectors[::step])
    return Measured(rows, recall, len(texts[::step]), _scans() - before)


def _recall(rows: QuerySet[Article], texts: list[str], vectors: np.ndarray) -> float:
    stored = dict(rows.values_list("pk", "embedding"))
    exact = vectors @ np.stack(list(stored.values())).T
    shares = []
    for text, vector, scores in zip(texts, vectors, exact, strict=True):
        bar = np.sort(scores)[-K] - EPSILON
        found = [article.pk for article in rows.search(text, mode="semantic").only("pk")[:K]]
        shares.append(sum(stored[pk] @ vector >= bar for pk in found) / K)
    return float(np.mean(shares))


@contextlib.contextmanager
def _index_preferred() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; SET enable_sort = off")
        try:
            yield
        finally:
            cursor.execute("RESET enable_seqscan; RESET enable_sort")


def _scans() -> int:
    """How often the index was scanned so far."""
    with connection.cursor() as cursor:
        # What a session counts is otherwise seen a second later.
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = %s", [INDEX])
        return cursor.fetchone()[0]
