"""Nothing on an operator's page reads more rows because a table is longer.

The tables are small here, and the limits smaller still: a query without a bound reads thousands of rows, one with a
bound some hundreds.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from pytest_django import DjangoDbBlocker

from benchmarks import ledger, operator
from benchmarks.pages import Opened, PageFinder
from benchmarks.plans import is_read, rows_read
from benchmarks.statements import Statement

pytestmark = pytest.mark.django_db

TASKS = 30_000
# Counts stop here, and a list has 100 rows: the most that any one query may read is a few times as much.
COUNT_LIMIT = 300
MOST_ROWS = 1_500
# Django's own, without an index by object; the admin's history page reads it.
IGNORED = {"django_admin_log"}
# Constants that bound a query, so that they are far below what the tables hold.
LIMITS = {
    "embeddings.admin.counting.COUNT_LIMIT": COUNT_LIMIT,
    "embeddings.stats.failures.MOST_COUNTED": 20,
}


@pytest.fixture(scope="module")
def ledger_of_thousands(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Committed, as what has not been vacuumed is read in another way."""
    with django_db_blocker.unblock():
        try:
            ledger.fill(TASKS, operator=operator.make(), statuses=ledger.EVEN)
            yield
        finally:
            call_command("flush", interactive=False, verbosity=0)


@pytest.fixture
def finder(ledger_of_thousands: None, client: Client, monkeypatch: pytest.MonkeyPatch) -> PageFinder:
    for name, value in LIMITS.items():
        monkeypatch.setattr(name, value)
    client.force_login(operator.get())
    return PageFinder(client, pairs=20)


def unbounded(page: Opened) -> list[str]:
    """The page's queries that read too many rows, and how many."""
    read = {statement.sql: rows_read(statement, ignored=IGNORED) for statement in page.statements if is_read(statement)}
    return [f"{page.url} reads {rows:,} rows: {sql}" for sql, rows in read.items() if rows > MOST_ROWS]


def test_pages__read_no_more_where_tables_are_longer(finder):
    found = [query for page in finder.open_all() for query in unbounded(page)]

    assert not found, "\n".join(found)


def test_pages__are_all_found(finder):
    pages = list(finder.open_all())

    assert not finder.missed
    assert {page.response.status_code for page in pages} <= {200, 302, 403}


def test_pages__write_nothing_where_they_are_looked_at(finder):
    written = [
        f"{page.url}: {statement.sql}" for page in finder.open_all() for statement in page.statements if writes(statement)
    ]

    assert not written, "\n".join(written)


def writes(statement: Statement) -> bool:
    return statement.sql.lstrip("( \n").upper().startswith(("INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE"))


def test_rows_read__counts_what_is_dropped(ledger_of_thousands):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM embeddings_embeddingtask")
        (tasks,) = cursor.fetchone()
    nothing = Statement("SELECT id FROM embeddings_embeddingtask WHERE worker = %s", ["nobody"], 0.0)
    one = Statement("SELECT id FROM embeddings_embeddingtask WHERE id = %s", [5], 0.0)

    assert rows_read(nothing) == tasks
    assert rows_read(one) == 1
