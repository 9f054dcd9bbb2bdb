"""The database connections of worker processes: one each, and none that a worker dies of."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from django.db import Error as AnyDatabaseError
from django.db import connections

from embeddings.failure import Failure

logger = logging.getLogger(__name__)


def drop_pools() -> None:
    """From now on this process and its children connect without the pools that DATABASES may ask for.

    Django's pool keeps several connections, and threads that do not survive a fork; a worker needs one connection.
    """
    connections.close_all()
    for alias in connections:
        options = connections.settings[alias]["OPTIONS"]
        if options.get("pool"):
            connections[alias].close_pool()  # type: ignore[attr-defined]
            connections.settings[alias]["OPTIONS"] = {key: value for key, value in options.items() if key != "pool"}


def connect_anew() -> None:
    """After an interruption at any point: a connection that is closed in a transaction would stay so for ever."""
    for connection in connections.all(initialized_only=True):
        with contextlib.suppress(AnyDatabaseError):
            connection.close()
        del connections[connection.alias]


@contextlib.contextmanager
def errors_logged(on_error: Callable[[], object] = lambda: None) -> Iterator[None]:
    """A worker outlives its database: the next sweep tries again on a new connection."""
    try:
        yield
    except AnyDatabaseError as exc:
        logger.error("The database could not be reached: %s", Failure.of(exc).message)
        connections.close_all()
        on_error()
