from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from embeddings import limiter
from embeddings.models import Status, WorkerStatus
from tests.integration import sessions
from tests.ledger_rows import make_task

without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)
# The checks run on threads of their own, which see committed rows only.
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

TOKEN = "a-token-of-a-test"
WELL = dict.fromkeys(("database", "redis", "workers", "providers", "queue"), "OK")


@pytest.fixture
def no_redis(settings) -> None:
    settings.RQ_QUEUES = {"embeddings": {"URL": "redis://127.0.0.1:9/0", "SERIALIZER": "json"}}


@pytest.fixture
def no_database() -> Iterator[None]:
    with sessions.no_database():
        yield


@pytest.fixture
def reader() -> Iterator[User]:
    """A user who may do nothing."""
    user = User.objects.create_user("reader")
    yield user
    user.delete()


def make_worker() -> None:
    now = timezone.now()
    WorkerStatus.objects.create(name="host.1", started_at=now, heartbeat_at=now)


def health(client: Client, path: str = "", **headers: str) -> tuple[int, dict[str, Any]]:
    response = client.get(f"/health/{path}", {"format": "json"}, headers=headers)
    return response.status_code, response.json()


def test_health__where_all_is_well(client, redis_client):
    make_worker()

    assert health(client) == (200, WELL)
    assert health(client, "ready/") == (200, {"database": "OK", "redis": "OK"})
    assert health(client, "live/") == (200, {"process": "OK"})


@pytest.mark.usefixtures("no_redis")
@pytest.mark.parametrize("accept", ["*/*", "nonsense"])
def test_health__sends_no_mail_at_every_probe(client, caplog, accept):
    response = client.get("/health/ready/", headers={"Accept": accept})

    assert response.status_code == 500
    assert "django.request" not in {record.name for record in caplog.records}


def test_health__for_an_accept_header_that_makes_no_sense(client, redis_client):
    response = client.get("/health/ready/", headers={"Accept": "nonsense"})

    assert (response.status_code, response.content) == (200, b"database: OK\nredis: OK\n")


def test_health__as_text(client, redis_client):
    response = client.get("/health/ready/", headers={"Accept": "text/html,*/*"})

    assert response.content == b"database: OK\nredis: OK\n"
    assert response["Content-Type"].startswith("text/plain")
    assert "no-cache" in response["Cache-Control"]


@pytest.mark.usefixtures("no_database")
def test_health__without_the_database(client, redis_client):
    status, checks = health(client)

    assert status == 500
    assert checks == {**dict.fromkeys(WELL, "down"), "redis": "OK"}
    assert health(client, "ready/")[0] == 500
    assert health(client, "live/") == (200, {"process": "OK"})


@pytest.mark.usefixtures("no_redis")
def test_health__without_redis(client):
    make_worker()

    assert health(client, "ready/") == (500, {"database": "OK", "redis": "down"})
    assert health(client)[1] == {**WELL, "redis": "down", "queue": "degraded"}


@pytest.mark.usefixtures("no_redis")
def test_redis__is_not_needed_without_a_queue(client, settings):
    settings.EMBEDDINGS = {"QUEUE_ENABLED": False}

    assert health(client, "ready/") == (200, {"database": "OK", "redis": "OK"})


def test_workers__are_needed_where_tasks_wait(client, redis_client):
    nothing_waits = health(client)[1]["workers"]
    make_task(Status.PENDING)
    without = health(client)[1]["workers"]
    make_worker()

    assert (nothing_waits, without, health(client)[1]["workers"]) == ("OK", "down", "OK")


def test_providers__with_an_open_circuit(client, redis_client, settings):
    make_worker()
    limiter.rate_limited("default", 60.0, "Slow down.")
    resting = health(client)[1]["providers"]
    limiter.misconfigured("default", "The key canary is wrong.")
    limiter.misconfigured("gone", "It is in no settings any more.")

    status, checks = health(client)

    assert (resting, status) == ("OK", 500)
    assert checks == {**WELL, "providers": "degraded", "queue": "degraded"}


def test_database__without_a_migration(client, redis_client):
    MigrationRecorder(connection).record_unapplied("embeddings", "0004_surfaces")

    status, checks = health(client, "ready/")
    MigrationRecorder(connection).record_applied("embeddings", "0004_surfaces")

    assert (status, checks) == (500, {"database": "down", "redis": "OK"})


def test_database__without_pgvector(client, redis_client, settings, monkeypatch):
    settings.EMBEDDINGS = {"DATABASES": ["other"]}
    monkeypatch.setitem(connections.settings["other"], "NAME", "postgres")  # the server's own, with no extensions

    assert health(client, "ready/") == (500, {"database": "down", "redis": "OK"})


class TestDetails:
    """Sentences, for who may read them."""

    @pytest.fixture(autouse=True)
    def _no_worker(self, settings, redis_client) -> None:
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "METRICS_TOKEN": TOKEN}
        make_task(Status.PENDING)

    def test_health__for_the_token(self, client):
        _, checks = health(client, Authorization=f"Bearer {TOKEN}")

        assert "No worker is alive" in checks["workers"]
        assert "manage.py rqworker" in checks["queue"]

    def test_health__for_users_with_the_permission(self, client, reader):
        client.force_login(reader)
        without = health(client)[1]["workers"]
        reader.user_permissions.add(Permission.objects.get(codename="view_embeddingtask"))

        assert without == "down"
        assert "No worker is alive" in health(client)[1]["workers"]

    @pytest.mark.parametrize("format", ["json", "text", "rss", "atom", "openmetrics"])
    def test_health__is_a_word_for_all_others(self, client, format):
        limiter.misconfigured("default", "The key canary is wrong.")

        content = client.get("/health/", {"format": format}).content

        assert b"canary" not in content
        assert b"alive" not in content

    def test_health__for_a_login_without_the_database(self, client, reader):
        client.force_login(reader)

        with sessions.no_database():
            status, checks = health(client)

        assert (status, checks["database"]) == (500, "down")
