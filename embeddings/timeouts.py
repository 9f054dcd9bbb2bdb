"""Time limits for the statements of workers: how long one waits for a lock, and how long it runs.

They are set with SET LOCAL, at the start of each transaction. A limit of the session would be handed on to other
clients behind PgBouncer in transaction mode, and PgBouncer refuses startup options.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import psycopg
from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper
from psycopg.errors import LockNotAvailable, QueryCanceled
from psycopg.pq import TransactionStatus

from embeddings import conf

# PostgreSQL's largest, 24 days. Its smallest is 1: 0 would be no limit.
_MAX_MILLISECONDS = 2**31 - 1


@contextlib.contextmanager
def bounded(aliases: Iterable[str]) -> Iterator[None]:
    """Give every statement of this thread on these databases the limits of EMBEDDINGS, as long as the block lasts.

    One that hits a limit raises Django's OperationalError, which `is_timeout` knows.
    """
    with contextlib.ExitStack() as stack:
        for alias in aliases:
            stack.enter_context(connections[alias].execute_wrapper(_execute_bounded))
        yield


@contextlib.contextmanager
def reading(seconds: float, using: str) -> Iterator[CursorWrapper]:
    """A cursor to read with: each of its statements runs no longer than this.

    The limit ends with the block, also within a transaction of the caller's: it is rolled back, as would be a write.
    """
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {_milliseconds(seconds)}")
        yield cursor
        transaction.set_rollback(True, using=using)


def is_timeout(exc: BaseException) -> bool:
    """Whether a statement was given up for its time, or somebody else cancelled it: nothing is wrong with it."""
    return is_lock_timeout(exc) or isinstance(exc.__cause__, QueryCanceled)


def is_lock_timeout(exc: BaseException) -> bool:
    """Whether a statement was given up because somebody else held a lock for too long."""
    return isinstance(exc.__cause__, LockNotAvailable)


def _execute_bounded(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Mapping[str, Any]) -> Any:
    """A wrapper for Django's `execute_wrapper`: the first statement of each transaction brings the limits along."""
    connection = context["connection"]
    # Django begins a transaction with its first statement: until then, nothing has been sent.
    if connection.connection.info.transaction_status != TransactionStatus.IDLE:
        return execute(sql, params, many, context)
    limits = _limits(conf.current().lock_timeout_seconds, conf.current().statement_timeout_seconds)
    cursor = context["cursor"].cursor
    if isinstance(cursor, psycopg.ClientCursor) and isinstance(sql, str) and not many:
        return _execute_together(execute, limits, sql, params, context)
    # These cannot be sent together with other statements: server-side cursors and parameters, executemany().
    with contextlib.nullcontext() if connection.in_atomic_block else transaction.atomic(using=connection.alias):
        with connection.wrap_database_errors:
            connection.connection.execute("; ".join(limits))
        return execute(sql, params, many, context)


def _execute_together(
    execute: Callable[..., Any], limits: tuple[str, ...], sql: str, params: Any, context: Mapping[str, Any]
) -> Any:
    """Send limits and statement as one message, which costs no round trip.

    In autocommit mode PostgreSQL makes one transaction of it, in which SET LOCAL holds for what follows. By
    measurement on loopback a statement of its own takes 1.1 times as long as without limits, against 2.7 times with
    BEGIN, SET and COMMIT around it.
    """
    result = execute("; ".join([*limits, sql]), params, False, context)
    for _ in limits:
        context["cursor"].cursor.nextset()  # past the results of SET
    return result


@cache
def _limits(lock_seconds: float, statement_seconds: float) -> tuple[str, ...]:
    return (
        f"SET LOCAL lock_timeout = {_milliseconds(lock_seconds)}",
        f"SET LOCAL statement_timeout = {_milliseconds(statement_seconds)}",
    )


def _milliseconds(seconds: float) -> int:
    return min(max(round(seconds * 1000), 1), _MAX_MILLISECONDS)
