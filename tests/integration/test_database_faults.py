"""PostgreSQL ends sessions, restarts, locks tables, refuses connections and writes: nothing is lost or charged."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections
from psycopg import sql

from embeddings.models import EmbeddingTask, Status
from embeddings.providers.dummy import vector
from project.development.postgres import PostgresServer
from tests.integration import sessions
from tests.integration.conftest import Workers, counts, dummy, wait_until
from tests.testapp.models import DIMENSIONS, Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)

ROWS = 400
EMBEDDINGS = {
    "BATCH_SIZE": 20,
    "CONCURRENCY": 2,
    "LEASE_SECONDS": 2,
    "LOCK_TIMEOUT_SECONDS": 0.3,
    "STATEMENT_TIMEOUT_SECONDS": 1,
}


def make_posts(count: int = ROWS) -> None:
    Post.objects.bulk_create([Post(title=f"post {number}") for number in range(count)])


def start(workers: Workers, count: int, *, latency: float = 0.1, **options: str) -> None:
    """This many workers, which work already; each request takes `latency` seconds."""
    processes = [
        workers.start(
            embeddings=EMBEDDINGS,
            providers=dummy(LATENCY_SECONDS=latency, **options),
            PGAPPNAME=f"worker-{number}",
        )
        for number in range(count)
    ]
    workers.wait_for(*processes)


def is_under_way() -> bool:
    return EmbeddingTask.objects.filter(status=Status.COMPLETED).exists()


def is_done() -> bool:
    return not EmbeddingTask.objects.exclude(status=Status.COMPLETED).exists()


def assert_all_is_right_and_nothing_was_charged(rows: int = ROWS) -> None:
    assert counts() == {"completed": rows}
    assert set(EmbeddingTask.objects.values_list("attempts", "crashes")) == {(1, 0)}
    posts = list(Post.objects.all())
    assert len(posts) == rows
    expected = [vector(post.title, DIMENSIONS) for post in posts]
    assert np.allclose([post.embedding for post in posts], expected, atol=1e-6)


def end_sessions_of_workers(control: psycopg.Connection[Any]) -> int:
    """Returns how many there were."""
    ended = control.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'worker-%'"
    )
    return len(ended.fetchall())


@contextlib.contextmanager
def database_setting(name: str, value: str) -> Iterator[None]:
    """A setting of the tests' database, for sessions that begin while it holds."""
    with sessions.session() as other:
        database = sql.Identifier(connections["default"].settings_dict["NAME"])
        change = sql.SQL("ALTER DATABASE {} SET {} = {}").format(database, sql.Identifier(name), sql.Literal(value))
        other.execute(change)
        try:
            yield
        finally:
            other.execute(sql.SQL("ALTER DATABASE {} RESET {}").format(database, sql.Identifier(name)))


# Sessions that end.


def test_worker__goes_on_when_its_sessions_are_ended_again_and_again(workers):
    start(workers, 2)
    make_posts()
    wait_until(is_under_way)

    ended = 0
    with sessions.session() as control:
        while ended < 20 and not is_done():
            ended += end_sessions_of_workers(control)
            time.sleep(0.3)

    wait_until(is_done, seconds=40)
    assert ended >= 5
    assert_all_is_right_and_nothing_was_charged()


def test_worker__goes_on_after_restarts_of_its_database(workers, postgres_server):
    start(workers, 2)
    make_posts()

    for _ in range(2):
        wait_until(is_under_way)
        connections.close_all()
        postgres_server.stop()
        time.sleep(0.5)
        postgres_server.start()

    wait_until(is_done, seconds=40)
    assert_all_is_right_and_nothing_was_charged()


@pytest.fixture
def durable_server(transactional_db: None, server_folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL that keeps what it has confirmed even when it is killed; the test's connections lead to it."""
    with PostgresServer(server_folder / "postgres") as server, pytest.MonkeyPatch.context() as patch:
        for connection in connections.all():
            connection.close()
            patch.setitem(connection.settings_dict, "NAME", server.database)
            patch.setitem(connection.settings_dict, "PORT", server.port)
        call_command("migrate", verbosity=0)
        patch.setenv("DATABASE_URL", server.url)
        ContentType.objects.clear_cache()  # The ids are others there.
        yield server
        ContentType.objects.clear_cache()
        connections.close_all()


def test_worker__goes_on_after_its_database_was_killed(durable_server, workers):
    start(workers, 2)
    make_posts()
    wait_until(is_under_way)

    connections.close_all()
    durable_server.kill()
    durable_server.start()

    wait_until(is_done, seconds=40)
    assert_all_is_right_and_nothing_was_charged()


@pytest.mark.parametrize("limit", ["idle_in_transaction_session_timeout", "transaction_timeout"])
def test_worker__keeps_within_the_limits_of_transactions_while_it_waits_for_its_provider(workers, limit):
    with database_setting(limit, "900ms"):
        start(workers, 1, latency=1.5)
        make_posts(60)

        wait_until(is_done)

    assert "terminating connection" not in workers.output()
    assert_all_is_right_and_nothing_was_charged(60)


# Locks.

IN_FLIGHT = 2 * EMBEDDINGS["BATCH_SIZE"]


def lock_while_requests_are_in_flight(workers: Workers, log: Path, table: str, *, seconds: float) -> None:
    """All there is to embed is with the provider, half a second, when somebody locks the table."""
    start(workers, 1, latency=0.5, LOG=str(log))
    make_posts(IN_FLIGHT)
    wait_until(lambda: inputs(log) == IN_FLIGHT)
    with sessions.session() as other, other.transaction():
        other.execute(sql.SQL("LOCK TABLE {}").format(sql.Identifier(table)))
        time.sleep(seconds)


@pytest.mark.parametrize(
    "table",
    [
        "testapp_post",
        "embeddings_embeddingtask",
        "embeddings_providercall",
        "embeddings_providerstate",
        "embeddings_workerstatus",
    ],
)
def test_worker__keeps_its_vectors_while_a_table_is_locked(workers, tmp_path, table):
    log = tmp_path / "requests"

    lock_while_requests_are_in_flight(workers, log, table, seconds=1.5)  # Five lock timeouts, and less than the lease.

    wait_until(is_done)
    assert_all_is_right_and_nothing_was_charged(IN_FLIGHT)
    assert inputs(log) == IN_FLIGHT


@pytest.mark.parametrize("table", ["testapp_post", "embeddings_embeddingtask"])
def test_worker__goes_on_after_a_table_was_locked_for_longer_than_its_lease(workers, tmp_path, table):
    log = tmp_path / "requests"

    lock_while_requests_are_in_flight(workers, log, table, seconds=5)

    wait_until(is_done, seconds=40)
    assert_all_is_right_and_nothing_was_charged(IN_FLIGHT)
    assert inputs(log) <= 2 * IN_FLIGHT


def test_worker__leaves_for_later_what_it_cannot_read_for_a_lock(workers):
    start(workers, 1)
    with sessions.session() as other, other.transaction():
        make_posts(IN_FLIGHT)
        other.execute("LOCK TABLE testapp_post")
        wait_until(lambda: counts() == {"scheduled": IN_FLIGHT})

    assert set(EmbeddingTask.objects.values_list("attempts", "crashes", "error_kind")) == {(0, 0, "transient")}


def inputs(log: Path) -> int:
    """The texts that the provider was paid for."""
    if not log.exists():
        return 0
    return sum(int(line.split()[0]) for line in log.read_text().splitlines())


# Refusals.


@contextlib.contextmanager
def no_connection_left() -> Iterator[None]:
    with sessions.session() as control, contextlib.ExitStack() as all_of_them:
        connections["default"].ensure_connection()
        for _ in range(3):  # The workers compete for those that become free.
            end_sessions_of_workers(control)
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    all_of_them.enter_context(sessions.session())
        yield


@contextlib.contextmanager
def no_writes() -> Iterator[None]:
    """As after a failover, with sessions that lead to what is a replica now."""
    with database_setting("default_transaction_read_only", "on"):
        with sessions.session() as control:
            end_sessions_of_workers(control)
        yield


@pytest.mark.parametrize("refusing", [no_connection_left, no_writes])
def test_worker__goes_on_when_the_database_has_refused_it_for_a_while(workers, refusing):
    start(workers, 2)
    make_posts()
    wait_until(is_under_way)

    with refusing():
        done = counts()["completed"]
        time.sleep(3)
        assert counts()["completed"] == done

    wait_until(is_done, seconds=40)
    assert_all_is_right_and_nothing_was_charged()
