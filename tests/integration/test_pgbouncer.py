"""Everything works behind PgBouncer in transaction mode, and nothing of a session reaches other clients."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections

from embeddings import checks, timeouts
from embeddings.models import EmbeddingTask, Status
from embeddings.providers.dummy import vector
from tests.integration import pgbouncer, sessions, test_timeouts
from tests.integration.conftest import counts, dummy, wait_until
from tests.integration.pgbouncer import PgBouncer
from tests.testapp.models import DIMENSIONS, Author, Book, Memo, Post

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    pytest.mark.skipif(pgbouncer.PROGRAM is None, reason="PgBouncer is not installed (Debian's package: pgbouncer)."),
]
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)

POOL_SIZE = 3
ROWS = 400
WORKERS = 3
# What an operator has to set: a cursor outside a transaction would be looked for on another session.
OPTIONS = "?disable_server_side_cursors=True"

Proxied = Callable[..., contextlib.AbstractContextManager[None]]


@pytest.fixture
def bouncer(transactional_db: None, tmp_path: Path) -> Iterator[PgBouncer]:
    """In front of the tests' PostgreSQL."""
    server_port = connection.settings_dict["PORT"]
    with PgBouncer(tmp_path / "pgbouncer", server_port=server_port, pool_size=POOL_SIZE) as running:
        yield running


@contextlib.contextmanager
def through(bouncer: PgBouncer, **options: Any) -> Iterator[None]:
    """The connections of this process, in all its threads, lead through PgBouncer."""
    with pytest.MonkeyPatch.context() as patch:
        for each in connections.all():
            each.close()
            patch.setitem(each.settings_dict, "PORT", bouncer.port)
            patch.setitem(each.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
            patch.setitem(each.settings_dict, "OPTIONS", {**each.settings_dict["OPTIONS"], **options})
        try:
            yield
        finally:
            for each in connections.all():
                each.close()
                each.close_pool()


def is_done() -> bool:
    return not EmbeddingTask.objects.exclude(status=Status.COMPLETED).exists()


def assert_vectors_are_right() -> None:
    for row in [*Post.objects.all(), *Memo.objects.all()]:
        text = row.title if isinstance(row, Post) else row.text
        assert np.allclose(row.embedding, vector(text, DIMENSIONS), atol=1e-3), text


# Workers.


def test_workers__work_a_backfill_and_saves_beside_it(workers, bouncer):
    options = {
        "embeddings": {"BATCH_SIZE": 20, "CONCURRENCY": 2},
        "providers": dummy(LATENCY_SECONDS=0.1),
        "DATABASE_URL": bouncer.url + OPTIONS,
    }
    with through(bouncer):
        workers.wait_for(*(workers.start(**options) for _ in range(WORKERS)))
        Post.objects.bulk_create([Post(title=f"post {number}") for number in range(ROWS)])
        savers = [sessions.in_thread(lambda name=name: save(name)) for name in "abcd"]
        for saved in savers:
            saved()
        most = bouncer.server_connections(connection.settings_dict["NAME"])

        wait_until(is_done)
        assert counts() == {"completed": ROWS + 4 * 20}
        assert_vectors_are_right()
    # All clients share these.
    assert 0 < most <= POOL_SIZE
    assert set(EmbeddingTask.objects.values_list("attempts", "crashes")) == {(1, 0)}


def save(name: str) -> None:
    for number in range(10):
        post = Post.objects.create(title=f"{name} {number}")
        post.title += " edited"
        post.save()
        Memo.objects.create(text=f"{name} {number}")


def test_workers__go_on_when_it_is_restarted(workers, bouncer):
    options = {
        "embeddings": {"BATCH_SIZE": 20, "CONCURRENCY": 2, "LEASE_SECONDS": 2},
        "providers": dummy(LATENCY_SECONDS=0.1),
        "DATABASE_URL": bouncer.url + OPTIONS,
    }
    workers.wait_for(*(workers.start(**options) for _ in range(2)))
    Post.objects.bulk_create([Post(title=f"post {number}") for number in range(ROWS)])
    wait_until(lambda: "completed" in counts())

    bouncer.stop()
    bouncer.start()

    wait_until(is_done, seconds=40)
    assert_vectors_are_right()
    assert set(EmbeddingTask.objects.values_list("attempts", "crashes")) == {(1, 0)}


# Limits of statements.


@pytest.fixture
def only_session(transactional_db: None, tmp_path: Path) -> Iterator[PgBouncer]:
    """All clients have one server connection between them."""
    server_port = connection.settings_dict["PORT"]
    with PgBouncer(tmp_path / "one", server_port=server_port, pool_size=1) as running:
        yield running


def limits_of_others(bouncer: PgBouncer) -> tuple[str, str]:
    """The limits under which another client's statements run."""
    database = connection.settings_dict["NAME"]
    with psycopg.connect(bouncer.url_of(database), autocommit=True) as other:
        limits = other.execute("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
        return limits.fetchone() or ("", "")


@pytest.mark.parametrize("read", test_timeouts.WAYS)
def test_bounded__limits_no_other_client(only_session, read, settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "LOCK_TIMEOUT_SECONDS": 0.2, "STATEMENT_TIMEOUT_SECONDS": 1}
    with through(only_session), timeouts.bounded(["default"]):
        read()
        assert limits_of_others(only_session) == test_timeouts.NO_LIMITS
        assert test_timeouts.limits() == test_timeouts.LIMITS
        assert limits_of_others(only_session) == test_timeouts.NO_LIMITS


def test_bounded__limits_no_other_client_after_it_was_exceeded(only_session, settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "STATEMENT_TIMEOUT_SECONDS": 0.2}
    with through(only_session), timeouts.bounded(["default"]):
        with pytest.raises(OperationalError) as raised, connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(5)")

        assert timeouts.is_timeout(raised.value)
        assert limits_of_others(only_session) == test_timeouts.NO_LIMITS


# Everything else.


@pytest.mark.parametrize("are_cursors_disabled", [True, False])
def test_app__works_through_one_session_that_is_shared(only_session, drain, monkeypatch, are_cursors_disabled):
    """Saves, a drain, the rows of a related object, requeue_missing, search: also with Django's server-side cursors."""
    with through(only_session), others_in_between(only_session):
        monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", are_cursors_disabled)
        author = Author.objects.create(name="Ann")
        books = [Book.objects.create(title=f"book {number}", author=author) for number in range(5)]
        drain()
        author.name = "Bea"
        author.save()
        drain()
        assert [book.embedding for book in Book.objects.all()] != [book.embedding for book in books]
        Post.objects.bulk_create([Post(title="zebra stripes"), Post(title="lion")])
        EmbeddingTask.objects.all().delete()
        call_command("requeue_missing", "--yes", verbosity=0)
        drain()

        assert counts() == {"completed": 7}
        assert Post.objects.search("zebra stripes").first().title == "zebra stripes"
        assert Post.objects.search("lion", mode="semantic").first().title == "lion"


@contextlib.contextmanager
def others_in_between(bouncer: PgBouncer) -> Iterator[None]:
    """Another client keeps using the session between our transactions, and forgets what is prepared or declared."""
    is_over = threading.Event()

    def disturb() -> None:
        database = connections.settings["default"]["NAME"]
        with psycopg.connect(bouncer.url_of(database), autocommit=True, prepare_threshold=None) as other:
            while not is_over.wait(0.001):
                other.execute("CLOSE ALL")
                other.execute("DEALLOCATE ALL")

    ended = sessions.in_thread(disturb)
    try:
        yield
    finally:
        is_over.set()
        ended()


def test_pool__of_a_web_process_may_lead_through_it(bouncer, drain):
    with through(bouncer, pool={"min_size": 2, "max_size": 10}):
        for saved in [sessions.in_thread(lambda name=name: save(name)) for name in "abcdefgh"]:
            saved()
        wait_until(lambda: drain() and is_done())

        assert counts() == {"completed": 8 * 20}
        assert_vectors_are_right()


def test_rebuild__refuses_where_its_lock_would_be_lost(bouncer):
    with (
        through(bouncer),
        pytest.raises(CommandError, match="'default' is reached through a pooler such as PgBouncer"),
    ):
        call_command("requeue_missing", "--rebuild-index", "--yes", "--model", "testapp.essay")


# Checks.


@pytest.mark.parametrize(("is_disabled", "found"), [(False, ["embeddings.W017"]), (True, [])])
def test_embeddings_W017(bouncer, monkeypatch, is_disabled, found):
    with through(bouncer):
        monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", is_disabled)
        messages = checks.check_databases(None, databases=["default"])

    assert [message.id for message in messages] == found


def test_embeddings_W017__is_silent_without_a_pooler():
    assert checks.check_databases(None, databases=["default"]) == []
