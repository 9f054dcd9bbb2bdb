"""What an approximate index finds, against what is there; and that its settings do not get out."""

from __future__ import annotations

import random

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet

from embeddings.search import finding, meaning
from embeddings.search.choice import source_of
from tests.testapp.models import DIMENSIONS, Essay

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

ROWS = 4_000
CLUSTERS = 60
SETTINGS = ("hnsw.iterative_scan", "hnsw.ef_search")


@pytest.fixture(scope="module")
def centers() -> list[list[float]]:
    rnd = random.Random(7)
    return [[rnd.uniform(-0.5, 0.5) for _ in range(DIMENSIONS)] for _ in range(CLUSTERS)]


@pytest.fixture
def essays(centers) -> None:
    """Rows around the centers, `luck` from 0 to 999, in an index that was built at once."""
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX essay_embedding; SELECT setseed(0.4)")
        cursor.execute(
            "INSERT INTO testapp_essay (title, body, luck, embedding) SELECT 'a hammer', '', random() * 999, ("
            "   SELECT array_agg(x + 0.4 * (random() + random() - 1)) FROM unnest(center.v) AS x WHERE number > 0"
            " )::vector FROM generate_series(1, %s) AS number"
            " JOIN unnest(%s::text[]) WITH ORDINALITY AS given (text, place) ON place = 1 + number %% %s"
            " CROSS JOIN LATERAL (SELECT text::float8[] AS v) AS center",
            [ROWS, ["{" + ",".join(map(str, center)) + "}" for center in centers], CLUSTERS],
        )
        cursor.execute("CREATE INDEX essay_embedding ON testapp_essay USING hnsw (embedding vector_cosine_ops)")
        cursor.execute("ANALYZE testapp_essay")


def queries(centers: list[list[float]]) -> list[list[float]]:
    rnd = random.Random(11)
    return [[x + rnd.uniform(-0.2, 0.2) for x in center] for center in centers[:15]]


def ask(monkeypatch: pytest.MonkeyPatch, vector: list[float]) -> None:
    monkeypatch.setattr(finding, "vector_of", lambda query, alias: vector)


def settings_now() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(f'''current_setting('{name}', true)''' for name in SETTINGS)}")
        return list(cursor.fetchone())


def test_search__finds_what_is_near_under_any_filter(essays, centers, monkeypatch):
    """All rows and a tenth of them by the index, though a plan without it may seem cheaper; few without it."""
    monkeypatch.setattr(meaning, "EXACT_ROWS", 200)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")

        assert recall(Essay.objects.all(), centers, monkeypatch, is_approximate=True) >= 0.95
        assert recall(Essay.objects.filter(luck__lt=100), centers, monkeypatch, is_approximate=True) >= 0.95
        assert recall(Essay.objects.filter(luck__lt=10), centers, monkeypatch, is_approximate=False) == 1
        assert recall(Essay.objects.filter(luck__lt=1), centers, monkeypatch, is_approximate=False) == 1


def recall(
    rows: QuerySet[Essay], centers: list[list[float]], monkeypatch: pytest.MonkeyPatch, *, is_approximate: bool
) -> float:
    """recall@10 against comparing with each row."""
    target = source_of(rows, None).target
    hits = total = 0
    for vector in queries(centers):
        ask(monkeypatch, vector)
        found = rows.search("hammer", mode="semantic")
        exact = list(meaning.nearest(rows, vector, target).values_list("pk", flat=True)[:10])
        hits += len({essay.pk for essay in found[:10]} & set(exact))
        total += len(exact)
        assert len(found) == min(100, rows.count())
        assert ("Index Scan using essay_embedding" in found.explain()) == is_approximate
    return hits / total


def test_search__reads_all_where_the_index_finds_too_little(essays, centers, monkeypatch):
    """The planner, asked before the rows were thus, expects many."""
    rows = Essay.objects.filter(luck__lt=10)
    monkeypatch.setattr(meaning, "are_few", lambda _: False)
    ask(monkeypatch, centers[0])
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL hnsw.max_scan_tuples = 100")

        found = rows.search("hammer", mode="semantic")

        assert len(found) == min(100, rows.count()) > 20


def test_search__leaves_the_settings_as_they_were(essays, centers, monkeypatch):
    ask(monkeypatch, centers[0])
    for outside in (["off", "40"], ["strict_order", "77"]):
        with transaction.atomic(), connection.cursor() as cursor:
            for name, value in zip(SETTINGS, outside, strict=True):
                cursor.execute("SELECT set_config(%s, %s, true)", [name, value])

            for rows in (Essay.objects.all(), Essay.objects.filter(luck__lt=0), Essay.objects.filter(luck__lt=500)):
                assert rows.search("hammer").exists() == rows.exists()
                assert bool(rows.search("hammer")) == rows.exists()

                assert settings_now() == outside


def test_search__sets_nothing_outside_of_a_transaction(essays, centers, monkeypatch):
    before = settings_now()
    ask(monkeypatch, centers[0])

    assert len(Essay.objects.search("hammer", mode="semantic")) == 100

    assert settings_now() == before
