"""System 003: articles that were there before, and the switches; all through the project's own processes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.test import Client

from embeddings.models import EmbeddingBatch, EmbeddingTask, Status, WorkerStatus
from project.content.kinds import Kind
from project.content.models import Article
from tests.integration.conftest import MODEL, counts, openai, wait_until
from tests.openai_server import OpenAIServer, expected_vector
from tests.openai_server.server import API_KEY
from tests.systems.counting import queries
from tests.systems.processes import Project

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

API = "/api/articles/"
DIMENSIONS = 256
EMBEDDINGS = {"BATCH_SIZE": 10, "CONCURRENCY": 2}


@pytest.fixture
def provider(settings) -> Iterator[OpenAIServer]:
    """OpenAI's, at a server of the test; a busy machine may take its time to load the client for the first search."""
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "SEARCH_TIMEOUT_SECONDS": 30}
    with OpenAIServer() as server:
        settings.EMBEDDING_PROVIDERS = providers(server)
        yield server


def providers(server: OpenAIServer) -> dict[str, Any]:
    return {"default": {**openai(server)["default"], "DIMENSIONS": DIMENSIONS}}


@pytest.fixture
def project(provider, tmp_path, transactional_db, redis_client) -> Iterator[Project]:
    """The project's own processes with that provider."""
    running = Project(
        tmp_path,
        EMBEDDING_PROVIDER="openai",
        EMBEDDING_MODEL=MODEL,
        EMBEDDING_DIMENSIONS=str(DIMENSIONS),
        OPENAI_API_KEY=API_KEY,
        OPENAI_BASE_URL=provider.base_url,
    )
    yield running
    running.stop()


@pytest.fixture
def operator(transactional_db) -> User:
    return User.objects.create_superuser("operator")


def insert(count: int) -> None:
    """Articles as another system's migration leaves them: half by SQL, half by a bulk insert that we do not see."""
    columns = "slug, title, signature, keywords, content, source, kind, updated_at"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO content_article ({columns}) SELECT 'old/' || n, 'Old ' || n, '', '', "
            "'This is the text of article ' || n, '', 'written', now() FROM generate_series(1, %s) n",
            [count // 2],
        )
    models.QuerySet(Article).bulk_create(
        Article(slug=f"old/{n}", title=f"Old {n}", content=f"This is the text of article {n}")
        for n in range(count // 2 + 1, count + 1)
    )


def requeue(*arguments: str) -> str:
    """What the command says."""
    out = io.StringIO()
    call_command("requeue_missing", "--model", "content.article", *arguments, stdout=out)
    return out.getvalue()


def data_of(response: Any) -> Any:
    assert response.status_code == 200, response.content
    return response.json()["data"]


def found(get: Callable[..., Any], q: str, mode: str) -> tuple[list[str], bool]:
    """The titles of what a search finds, and whether the answer is degraded."""
    data = data_of(get("/api/embeddings/search/", {"model": "content.article", "q": q, "mode": mode}))
    return [hit["title"] for hit in data["results"]], data["degraded"]


# The migration of a table that was there before.


def test_system_003_articles__migration(provider, workers, admin_client, monkeypatch):
    """Count, run, watch, verify."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    provider.latency_seconds = 0.2
    insert(200)

    dry = requeue("--dry-run")

    assert "content.article.embedding: 200 missing." in dry
    said = re.search(r"To queue: 200 rows, about ([\d,]+) tokens, \$(0\.\d+), time unknown\.", dry)
    assert said, dry
    tokens, cost = int(said[1].replace(",", "")), float(said[2])
    assert cost == pytest.approx(tokens * 0.02 / 1e6, abs=1e-4)
    with pytest.raises(CommandError, match="Say --yes, or --dry-run"):
        requeue()
    assert not EmbeddingTask.objects.exists()
    assert provider.stats.requests == 0

    ran = requeue("--yes", "--batch-size", "30")

    batch = EmbeddingBatch.objects.get()
    assert f"Queued 200 rows as batch {batch.pk}." in ran
    assert "Nothing to queue" in requeue("--dry-run")

    lengths = [data_of(admin_client.get("/api/embeddings/queue/status/"))["queueLength"]]
    workers.start(embeddings=EMBEDDINGS, providers=providers(provider))

    def is_over() -> bool:
        status = data_of(admin_client.get("/api/embeddings/queue/status/"))
        lengths.append(status["queueLength"])
        return not status["queueLength"] and not status["isProcessing"]

    wait_until(is_over)

    assert lengths[0] == 200
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) > 2  # one could watch it
    assert counts() == {Status.COMPLETED: 200}
    assert provider.stats.inputs == 200
    assert provider.stats.paid_more_than_once() == {}
    assert tokens == pytest.approx(provider.stats.tokens, rel=0.5)
    verified = requeue("--dry-run")
    assert "content.article.embedding: 200 current." in verified
    assert "Nothing to queue" in verified
    titles, degraded = found(admin_client.get, "Old 77\n\nThis is the text of article 77", "semantic")
    assert (titles[0], degraded) == ("Old 77", False)


def test_system_003_articles__migration_estimates_time_once_the_provider_is_known(provider, workers):
    insert(40)
    requeue("--yes")
    workers.burst(providers=providers(provider))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE content_article SET content = content || ', changed' WHERE slug < 'old/2'")
        changed = cursor.rowcount

    dry = requeue("--dry-run")

    assert f"{40 - changed} current" in dry
    assert f"{changed} stale" in dry
    assert re.search(rf"To queue: {changed} rows, about [\d,]+ tokens, \$0\.0000, about \d+ (s|min)\.", dry)


def test_system_003_articles__roll_back_in_the_middle(provider, workers):
    """What is done stays; what waits is cancelled, costs nothing, and counts as missing again."""
    insert(200)
    provider.latency_seconds = 0.5
    requeue("--yes")
    batch = EmbeddingBatch.objects.get()
    workers.start(embeddings=EMBEDDINGS, providers=providers(provider))
    wait_until(lambda: counts().get(Status.COMPLETED))

    said = requeue("--rollback", str(batch.pk))
    wait_until(lambda: set(counts()) == {Status.COMPLETED, Status.CANCELLED})

    done, cancelled = counts()[Status.COMPLETED], counts()[Status.CANCELLED]
    assert done + cancelled == 200
    assert f"Cancelled {cancelled:,} tasks of batch {batch.pk};" in said
    assert Article.objects.exclude(embedding=None).count() == done
    assert provider.stats.inputs < 200
    dry = requeue("--dry-run")
    assert f"{cancelled} missing" in dry
    assert f"{done} current" in dry


# The switches, as the environment of real processes says.


def test_system_003_articles__queue_off_embeds_in_the_request(project, provider, operator, redis_client):
    visitor = project.server(operator, EMBEDDING_QUEUE_ENABLED="false")

    made = visitor.send("POST", API, {"slug": "zebra", "title": "Zebra", "content": "It has stripes."})
    written = visitor.send("PATCH", f"{API}zebra/", {"content": "It has no spots."})

    assert made.status_code == 201, made.text
    assert made.json()["data"]["embedding"] == written.json()["data"]["embedding"] == "completed"
    expected = expected_vector("Zebra\n\nIt has no spots.", MODEL, DIMENSIONS)
    assert list(Article.objects.get().embedding) == pytest.approx(expected, abs=1e-6)
    assert provider.stats.inputs == 2
    assert not WorkerStatus.objects.exists()
    assert not redis_client.keys("rq:*")


def test_system_003_articles__queue_off_and_provider_refusing_saves_all_the_same(project, provider, operator, settings):
    provider.api_key = "another"
    visitor = project.server(operator, EMBEDDING_QUEUE_ENABLED="false")

    made = visitor.send("POST", API, {"slug": "zebra", "title": "Zebra", "content": "It has stripes."})

    assert made.status_code == 201, made.text
    assert made.json()["data"]["embedding"] != "completed"
    assert Article.objects.get().embedding is None
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False}
    assert "To queue: 1 rows" in requeue("--dry-run")


def test_system_003_articles__search_off_embeds_nothing_and_finds_by_keyword(
    project, provider, operator, redis_client, workers
):
    off = {"SEMANTIC_SEARCH_ENABLED": "false"}
    visitor = project.server(operator, **off)

    made = visitor.send("POST", API, {"slug": "zebra", "title": "Zebra", "content": "It has stripes."})
    visitor.send("POST", API, {"slug": "lion", "title": "Lion", "content": "It has a mane."})

    assert made.status_code == 201, made.text
    assert made.json()["data"]["embedding"] is None
    for mode in ("hybrid", "semantic", "keyword"):
        assert found(visitor.get, "stripes", mode) == (["Zebra"], False)
    assert "Zebra" in visitor.get("/", {"q": "stripes"}).text
    refused = project.manage("requeue_missing", "--yes", **off)
    assert "Embedding is switched off" in refused.stderr
    assert not EmbeddingTask.objects.exists()
    assert not redis_client.keys("rq:*")

    assert "Queued 2 rows" in requeue("--yes")  # switched on again, where this command runs
    project.manage("rqworker", "embeddings", "--burst", **off)
    assert provider.stats.requests == 0  # but not yet where this worker runs
    workers.burst(providers=providers(provider))
    assert not Article.objects.filter(embedding=None).exists()


# The API.


@pytest.fixture
def writer(person, client_of, redis_client) -> Client:
    return client_of(person("writer", "article"))


def post(client: Client, **values: Any) -> Any:
    article = {"slug": "guides/first-steps", "title": "First steps", "content": "Begin here.", **values}
    return client.post(API, article, content_type="application/json")


def problem(response: Any, status: int) -> str:
    assert response.status_code == status, response.content
    return response.json()["error"]["message"]


def test_system_003_articles__api_saves_at_once_and_the_vector_follows(writer, workers):
    workers.start()
    made = post(writer)
    data = made.json()["data"]

    assert made.status_code == 201
    assert (data["kind"], data["embedding"]) == ("written", "pending")
    assert data["url"] == "/articles/guides/first-steps/"

    def read() -> dict[str, Any]:
        return writer.get(f"{API}guides/first-steps/").json()["data"]

    wait_until(lambda: read()["embedding"] == "completed")
    before = list(Article.objects.get().embedding)
    writer.patch(f"{API}guides/first-steps/", {"content": "Begin there."}, content_type="application/json")
    wait_until(lambda: read()["embedding"] == "completed" and list(Article.objects.get().embedding) != before)
    assert [each["slug"] for each in writer.get(API).json()["data"]["results"]] == ["guides/first-steps"]
    assert writer.delete(f"{API}guides/first-steps/").status_code == 204
    assert not EmbeddingTask.objects.exists()
    assert problem(writer.get(f"{API}guides/first-steps/"), 404) == "No Article matches the given query."


def test_system_003_articles__written_by_api_is_its_writers(writer):
    Article.objects.create(slug="loaded", title="Loaded", kind=Kind.DOCUMENTATION)

    writer.patch(f"{API}loaded/", {"title": "Mine", "kind": "documentation"}, content_type="application/json")

    assert Article.objects.values_list("title", "kind").get() == ("Mine", Kind.WRITTEN)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"slug": "/a//b"}, "slug: Use words with dots"),
        ({"slug": "taken"}, "slug: article with this slug already exists."),
        ({"title": ""}, "title: This field may not be blank."),
        ({"content": "\0"}, "content: Null characters are not allowed."),
        ({"content": None}, "content: This field may not be null."),
    ],
)
def test_system_003_articles__api_says_what_is_wrong(writer, values, message):
    Article.objects.create(slug="taken", title="T")

    assert problem(post(writer, **values), 400).startswith(message)
    assert Article.objects.count() == 1


@pytest.mark.parametrize("path", ["nothing/", "a%00b/", "x" * 300 + "/"])
def test_system_003_articles__api_of_no_article(writer, path):
    assert problem(writer.get(API + path), 404)


def test_system_003_articles__who_may(person, client_of):
    Article.objects.create(slug="a", title="A")
    stranger = client_of(person("stranger"))
    calls: dict[str, Callable[[], Any]] = {
        "view": lambda: stranger.get(f"{API}a/"),
        "add": lambda: post(stranger),
        "change": lambda: stranger.patch(f"{API}a/", {"title": "B"}, content_type="application/json"),
        "delete": lambda: stranger.delete(f"{API}a/"),
    }

    for verb, call in calls.items():
        assert problem(call(), 403) == f"This needs the permission content.{verb}_article."
    assert problem(Client().get(API), 403)
    assert Article.objects.get().title == "A"


def test_system_003_articles__list_costs_no_query_a_row(writer):
    Article.objects.create(slug="a", title="T")
    few = queries(lambda: writer.get(API))
    Article.objects.bulk_create(Article(slug=f"a{number}", title="T") for number in range(40))

    assert queries(lambda: writer.get(API)) == few
    assert len(writer.get(API).json()["data"]["results"]) == 41
