"""Committed data that costs no flush, and sessions beside the test's own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connections
from django.test import TransactionTestCase
from rest_framework.authtoken.models import Token

APPS = ("embeddings", "testapp")


def without_flush() -> Iterator[None]:
    """A module's fixture: tests with `transaction=True` empty the tables of this package, the test models, users.

    Django's flush empties all tables and makes the permissions of all models anew: a second a test.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda self: [empty(alias) for alias in connections])
        yield


def empty(alias: str) -> None:
    """Delete every row of this package and of the test models, and all users, whose names the next tests take."""
    models = [model for label in APPS for model in apps.get_app_config(label).get_models() if not model._meta.proxy]
    models += [User, User.groups.through, User.user_permissions.through, LogEntry, Token]
    deletes = [f"DELETE FROM {connections[alias].ops.quote_name(model._meta.db_table)}" for model in models]
    with connections[alias].cursor() as cursor:
        # In any order, whatever the foreign keys.
        cursor.execute(
            "; ".join(["SET session_replication_role = replica", *deletes, "RESET session_replication_role"])
        )


@contextlib.contextmanager
def session(alias: str = "default") -> Iterator[psycopg.Connection[Any]]:
    """Another connection to a test database, in autocommit mode, closed at the end."""
    with psycopg.connect(**connections[alias].get_connection_params(), autocommit=True) as connection:
        yield connection


def in_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Run `function` in a thread with its own connections; the returned function waits for it and gives its result."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as exc:
            errors.append(exc)
        finally:
            connections.close_all()

    def join() -> Any:
        thread.join(timeout=20)
        assert not thread.is_alive(), "The thread did not end."
        if errors:
            raise errors[0]
        return results[0]

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return join


@contextlib.contextmanager
def no_database() -> Iterator[None]:
    """Connections are refused, as by a server that is down. For tests with `transaction=True`."""
    with pytest.MonkeyPatch.context() as patch:
        for alias in connections:
            connections[alias].close()
            patch.setitem(connections.settings[alias], "HOST", "127.0.0.1")
            patch.setitem(connections.settings[alias], "PORT", "9")
        yield
        connections.close_all()
