"""The limits of workers' statements: a lock that somebody keeps, a statement that takes too long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, connections, transaction
from psycopg import sql

from embeddings import timeouts
from tests.integration import sessions
from tests.testapp.models import Author

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
LIMITS = ("200ms", "1s")
NO_LIMITS = ("0", "0")


@pytest.fixture(scope="module", autouse=True)
def _without_flush() -> Iterator[None]:
    yield from sessions.without_flush()


@pytest.fixture(autouse=True)
def _short_limits(settings) -> None:
    settings.EMBEDDINGS = {
        **settings.EMBEDDINGS,
        "LOCK_TIMEOUT_SECONDS": 0.2,
        "STATEMENT_TIMEOUT_SECONDS": 1,
    }


def limits(alias: str = "default") -> tuple[str, str]:
    """The lock timeout and the statement timeout under which a statement runs."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
        return cursor.fetchone()


def autocommit() -> None:
    Author.objects.count()


def in_transaction() -> None:
    with transaction.atomic():
        Author.objects.count()


def in_savepoint() -> None:
    with transaction.atomic(), transaction.atomic():
        Author.objects.count()


def executemany() -> None:
    with connection.cursor() as cursor:
        cursor.executemany("UPDATE testapp_author SET born = %s", [(1,), (2,)])


def server_side() -> None:
    list(Author.objects.iterator())


def server_side_in_transaction() -> None:
    with transaction.atomic():
        server_side()


def composed() -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("testapp_author")))


WAYS = [autocommit, in_transaction, in_savepoint, executemany, server_side, server_side_in_transaction, composed]


@pytest.mark.parametrize("read", WAYS)
def test_bounded__gives_up_a_lock_that_somebody_keeps(read: Callable[[], None]):
    with sessions.session() as other, other.transaction():
        other.execute("LOCK TABLE testapp_author")
        started = time.monotonic()

        with timeouts.bounded(["default"]), pytest.raises(OperationalError) as raised:
            read()

    assert 0.2 <= time.monotonic() - started < 3
    assert timeouts.is_timeout(raised.value)
    assert timeouts.is_lock_timeout(raised.value)
    assert limits() == NO_LIMITS


@pytest.mark.parametrize("is_atomic", [False, True])
def test_bounded__gives_up_a_statement_that_takes_too_long(is_atomic):
    started = time.monotonic()

    with timeouts.bounded(["default"]), pytest.raises(OperationalError) as raised:
        if is_atomic:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                cursor.execute("SELECT pg_sleep(5)")
        else:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(5)")

    assert 1 <= time.monotonic() - started < 4
    assert timeouts.is_timeout(raised.value)
    assert not timeouts.is_lock_timeout(raised.value)
    assert limits() == NO_LIMITS


def test_bounded__limits_each_transaction_and_nothing_else():
    with timeouts.bounded(["default"]):
        assert limits() == LIMITS
        with transaction.atomic():
            assert limits() == LIMITS
            assert limits() == LIMITS
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            limits()
            raise ZeroDivisionError
        with transaction.atomic():
            assert limits() == LIMITS
        assert limits() == LIMITS
        assert limits("other") == NO_LIMITS
        assert sessions.in_thread(limits)() == NO_LIMITS
        with connection.connection.cursor() as raw:  # What is left in the session, past the wrapper.
            assert raw.execute("SHOW statement_timeout").fetchone() == ("0",)

    assert limits() == NO_LIMITS


def test_bounded__keeps_its_limits_when_a_savepoint_is_rolled_back():
    with timeouts.bounded(["default"]), transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            limits()
            raise ZeroDivisionError

        assert limits() == LIMITS


def test_bounded__limits_a_connection_that_is_opened_anew():
    with timeouts.bounded(["default"]):
        with sessions.session() as other, connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            other.execute("SELECT pg_terminate_backend(%s)", cursor.fetchone())
        with pytest.raises(DatabaseError):
            limits()
        connection.close()

        assert limits() == LIMITS


def test_bounded__may_be_nested():
    with timeouts.bounded(["default"]):
        with timeouts.bounded(["default", "other"]):
            assert limits() == limits("other") == LIMITS
        assert limits() == LIMITS
        assert limits("other") == NO_LIMITS


def test_bounded__ends_with_an_error():
    with pytest.raises(ZeroDivisionError), timeouts.bounded(["default"]):
        raise ZeroDivisionError

    assert limits() == NO_LIMITS


def test_bounded__takes_new_settings_at_once(settings):
    with timeouts.bounded(["default"]):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "LOCK_TIMEOUT_SECONDS": 0.0001, "STATEMENT_TIMEOUT_SECONDS": 1e9}

        # Never 0, which is no limit, and never more than PostgreSQL takes.
        assert limits() == ("1ms", "2147483647ms")


@pytest.mark.parametrize("is_atomic", [False, True])
def test_bounded__changes_nothing_about_results(is_atomic):
    with timeouts.bounded(["default"]):
        if is_atomic:
            with transaction.atomic():
                use_every_kind_of_result()
        else:
            use_every_kind_of_result()

    # Read on a connection that sees only what is committed.
    with sessions.session() as other:
        assert other.execute("SELECT name, born FROM testapp_author").fetchall() == [("b 100%", 1)]


def use_every_kind_of_result() -> None:
    """Rows, returned keys, counts, many parameter sets, server-side cursors, errors."""
    made: list[Any] = Author.objects.bulk_create([Author(name="a"), Author(name="b 100%")])
    assert [author.name for author in Author.objects.order_by("pk")] == ["a", "b 100%"]
    assert all(author.pk for author in made)
    assert Author.objects.filter(name="a").delete()[0] == 1
    assert Author.objects.filter(name="b 100%").update(born=1) == 1
    assert [author.pk for author in Author.objects.iterator(chunk_size=1)] == [made[1].pk]
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 WHERE false")
        assert (cursor.fetchall(), cursor.rowcount) == ([], 0)
        cursor.execute("SELECT '100%'")  # no parameters, so that no sign is doubled
        assert cursor.fetchone() == ("100%",)
        cursor.executemany("UPDATE testapp_author SET born = born + %s", [(1,), (-1,)])
    with pytest.raises(IntegrityError), transaction.atomic():
        Author.objects.create(pk=made[1].pk, name="twice")


def test_is_timeout__knows_other_errors():
    with pytest.raises(DatabaseError) as raised, connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")

    assert not timeouts.is_timeout(raised.value)
    assert not timeouts.is_timeout(ValueError())
