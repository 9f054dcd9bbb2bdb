from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.core.management.base import CommandError
from django.db import OperationalError
from django.test import TransactionTestCase

from project.development.postgres import PostgresServer
from project.development.valkey import ValkeyServer
from tests import services


def pytest_configure(config: pytest.Config) -> None:
    # Whoever ends the session ends its servers too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.add_cleanup(services.stop)
    if services.valkey is None:
        _take_over_redis(config, os.environ["REDIS_URL"])
    config.addinivalue_line("markers", "acceptance: runs `make up` in a clean clone; takes minutes.")


def _take_over_redis(config: pytest.Config, url: str) -> None:
    """The tests empty the Redis database that they use, so it must hold nothing of anybody else's."""
    with redis.Redis.from_url(url) as client:
        if keys := client.dbsize():
            raise pytest.UsageError(
                f"REDIS_URL names a database with {keys} keys, and the tests would delete them: "
                "empty it, or name another database of that server by the number at the end of the address."
            )
    config.add_cleanup(functools.partial(_empty_redis, url))


def _empty_redis(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushdb()


@pytest.fixture(scope="session", autouse=True)
def _flush_beside_workers() -> Iterator[None]:
    """A worker that outlives a test may be in a statement while all tables are emptied: a deadlock ends one of both.

    Where it is ours, once more: a flush that failed would leave databases forbidden to all tests that follow.
    """
    flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]

    def flush_until_done(case: TransactionTestCase) -> None:
        for _ in range(9):
            try:
                return flush(case)
            except CommandError as exc:
                if not (isinstance(exc.__cause__, OperationalError) and "deadlock detected" in str(exc.__cause__)):
                    raise
        return flush(case)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", flush_until_done)
        yield


@pytest.fixture(autouse=True)
def _forget_what_a_process_remembers() -> None:
    """Of what operators set, providers that failed, vectors of queries, rows that are gone, and what it has done."""
    from embeddings import alerts, events, live, model_ids, pauses, tally
    from embeddings.search import lane, vectors

    tally.take()

    for module in (events, live, model_ids, pauses, lane, vectors):
        module.forget()
    alerts.rest()  # No test counts the statements of its look.


@pytest.fixture
def redis_client(settings) -> Iterator[redis.Redis]:
    """The Redis of the test session, its database empty."""
    with redis.Redis.from_url(settings.RQ_QUEUES["embeddings"]["URL"]) as client:
        client.flushdb()
        yield client


@pytest.fixture
def postgres_server() -> PostgresServer:
    """The session's own PostgreSQL, to be stopped, killed and started; it must run again when the test ends."""
    return services.postgres or pytest.skip("DATABASE_URL names a PostgreSQL that the tests must not stop.")


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """A temporary folder for servers of a test's own."""
    with services.folder() as folder:
        yield folder


@pytest.fixture
def valkey_server() -> ValkeyServer:
    """The session's own Valkey, to be stopped, killed and started; it must run again when the test ends."""
    return services.valkey or pytest.skip("REDIS_URL names a server that the tests must not stop.")
