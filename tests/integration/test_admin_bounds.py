"""Nothing on an operator's page reads more rows because a table is longer.

The tables are small here, and the limits smaller still: a query without a bound reads thousands of rows, one with a
bound some hundreds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from pytest_django import DjangoDbBlocker

from benchmarks import ledger, operator
from benchmarks.pages import Opened, PageFinder
from benchmarks.plans import is_read, rows_read
from benchmarks.statements import Statement
from embeddings import stats
from embeddings.admin.readonly import ReadOnlyAdmin

pytestmark = pytest.mark.django_db

TASKS = 30_000
# Counts stop here (above 200, what the admin shows at once); of each state there are more tasks than may be read.
COUNT_LIMIT = 210
MOST_ROWS = 2_500
# Django's own, without an index by object; the admin's history page reads it.
IGNORED = {"django_admin_log"}
# Of the pages that differ in values only, and of the lists by two filters.
ALIKE, PAIRS = 5, 12
WRITE = re.compile(
    r"\s*(INSERT|UPDATE|DELETE|MERGE|TRUNCATE|COPY|WITH\b.*\b(INSERT INTO|UPDATE|DELETE FROM))\b", re.I | re.S
)
# A batch's progress is counted whole, from one index alone. The benchmark says how long that takes.
COUNTED_WHOLE = re.compile(r'WHERE "embeddings_embeddingtask"."batch_id" IN \([%s, ]+\) GROUP BY 1, 2$')
# Before a bulk operation by status and error, all tasks of that status, and all with that error, may be looked up in
# their indexes to find those that are both. (The list by both is not exempt.)
BOTH_INDEXES = re.compile(r'AS "(fits|pk)" .*"status" = %s AND "embeddings_embeddingtask"."error_kind" = %s')
EXEMPT = (COUNTED_WHOLE, BOTH_INDEXES)
# Constants that bound a query, so that they are far below what the tables hold.
LIMITS = {
    ("embeddings.admin.counting", "COUNT_LIMIT"): COUNT_LIMIT,
    ("embeddings.admin.audit", "SEARCHED"): 1_000,
    ("embeddings.admin.pauses", "MOST_COUNTED"): 1_000,
    ("embeddings.previews", "MOST_COUNTED"): 1_000,
    ("embeddings.previews", "MOST_ADDED"): 500,
    ("embeddings.stats.failures", "MOST_COUNTED"): 20,
    # A ledger of this size would be counted anew where its census is old.
    ("embeddings.census.reading", "QUICK_ROWS"): 1_000,
}


@dataclass(frozen=True, slots=True)
class Findings:
    """Of all pages: opening them takes too long to be done for each test."""

    # Page → status.
    pages: dict[str, int]
    # Kinds of pages of which none was found.
    missed: list[str]
    # Sentences.
    unbounded: list[str]
    written: list[str]


@pytest.fixture(scope="module")
def some_thousand_tasks(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Committed: what has not been vacuumed is read in another way."""
    with django_db_blocker.unblock():
        try:
            ledger.fill(TASKS, operator=operator.make(), statuses=ledger.EVEN)
            yield
        finally:
            call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(scope="module")
def findings(some_thousand_tasks: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Findings]:
    client = Client()
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        for (module, name), value in LIMITS.items():
            patch.setattr(import_module(module), name, value)
        patch.setitem(stats.held.__kwdefaults__, "most", 1_000)
        # Most of a list's time goes into its rows.
        patch.setattr(ReadOnlyAdmin, "list_per_page", 20)
        client.force_login(operator.get())
        finder = PageFinder(client, alike=ALIKE, pairs=PAIRS)
        found = Findings({}, [], [], [])
        known: set[str] = set()
        for page in finder.open_all():
            found.pages[page.url] = page.response.status_code
            found.unbounded.extend(unbounded(page, known))
            found.written.extend(f"{page.url} writes: {one.sql}" for one in page.statements if writes(one))
        found.missed.extend(finder.missed)
        yield found


def unbounded(page: Opened, known: set[str]) -> list[str]:
    """The page's queries that read too many rows, and how many. Those that are `known` are not asked again."""
    asked = {f"{one.sql} {one.params}": one for one in page.statements if is_read(one)}
    new = {
        name: one
        for name, one in asked.items()
        if name not in known and not any(each.search(one.sql) for each in EXEMPT)
    }
    known |= new.keys()
    read = {name: rows_read(one, ignored=IGNORED) for name, one in new.items()}
    return [f"{page.url} reads {rows:,} rows: {name}" for name, rows in read.items() if rows > MOST_ROWS]


def writes(statement: Statement) -> bool:
    return WRITE.match(statement.sql) is not None


def test_pages__read_no_more_where_tables_are_longer(findings):
    assert not findings.unbounded, "\n".join(findings.unbounded)


def test_pages__write_nothing_when_they_are_looked_at(findings):
    assert not findings.written, "\n".join(findings.written)


def test_pages__are_all_found(findings):
    broken = {url: status for url, status in findings.pages.items() if status not in {200, 302, 403, 405}}

    assert not findings.missed
    assert not broken
    assert sum(status == 200 for status in findings.pages.values()) > 100


def test_rows_read__counts_what_is_dropped(some_thousand_tasks):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM embeddings_embeddingtask")
        (tasks,) = cursor.fetchone()
    nothing = Statement("SELECT id FROM embeddings_embeddingtask WHERE worker = %s", ["nobody"], 0.0)
    one = Statement("SELECT id FROM embeddings_embeddingtask WHERE id = %s", [5], 0.0)

    assert rows_read(nothing) == tasks
    assert rows_read(one) == 1
