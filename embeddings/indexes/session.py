"""One connection for what drops and builds indexes; it also makes sure that only one process does so."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any

import psycopg
from django.db import connections

from embeddings.exceptions import ConfigurationError, RebuildRunning

POLL_SECONDS = 0.5
# While somebody holds this, in pg_locks: classid and objid of an advisory lock of two keys.
LOCK = (0x656D6264, 1)
_SETTINGS = {
    # A build may take hours.
    "statement_timeout": "0",
    "idle_session_timeout": "0",
    # Who waits here is in nobody's way; but after hours of building it must not give up on its last wait.
    "lock_timeout": "0",
    # What is built for a process that was killed is built for nobody; and the lock is free again.
    "client_connection_check_interval": "1s",
}


class Session:
    """A connection beside Django's, open as long as the block. Raises RebuildRunning if another process has one."""

    def __init__(self, using: str) -> None:
        self._using = using

    def __enter__(self) -> Session:
        # Not of a pool, to which it would come back with its settings.
        self._wrapper: Any = connections[self._using].copy()
        self._wrapper.settings_dict["OPTIONS"].pop("pool", None)
        self._wrapper.ensure_connection()
        self._wrapper.set_autocommit(True)
        self._connection: psycopg.Connection[Any] = self._wrapper.connection
        # What PostgreSQL has remarked: that memory is short, for example.
        self.notices: list[str] = []
        self._connection.add_notice_handler(lambda notice: self.notices.append(notice.message_primary or ""))
        with contextlib.ExitStack() as stack:
            stack.callback(self._wrapper.close)
            self._prepare()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @property
    def pid(self) -> int:
        """Of the server's process."""
        return self._connection.info.backend_pid

    def set(self, name: str, value: str) -> None:
        """Change a setting of PostgreSQL for all that follows."""
        self._connection.execute("SELECT set_config(%s, %s, false)", [name, value])

    def run(self, statement: str, watch: Callable[[], None] = lambda: None) -> None:
        """Execute it; `watch` is called now and then meanwhile. Whatever ends the wait, ends the statement."""
        with ThreadPoolExecutor(1) as pool:
            # Bytes are sent as they are: a % in a definition is no placeholder.
            future = pool.submit(self._connection.execute, statement.encode())
            try:
                while not wait([future], timeout=POLL_SECONDS).done:
                    watch()
            finally:
                if not future.done():
                    with contextlib.suppress(psycopg.Error):
                        self._connection.cancel()
            future.result()

    def _prepare(self) -> None:
        if self._value("SELECT pg_backend_pid()") != self.pid:
            raise ConfigurationError(
                f"Database {self._using!r} is reached through a pooler such as PgBouncer, which would lose the lock: "
                "run this with a DATABASES entry that leads to PostgreSQL itself."
            )
        for name, value in _SETTINGS.items():
            with contextlib.suppress(psycopg.Error):  # Some are not known everywhere.
                self.set(name, value)
        if not self._value("SELECT pg_try_advisory_lock(%s, %s)", *LOCK):
            raise RebuildRunning

    def _value(self, statement: str, *params: Any) -> Any:
        row = self._connection.execute(statement.encode(), params).fetchone()
        assert row is not None
        return row[0]


def is_running(using: str) -> bool:
    """Whether a process drops or builds indexes of this database now."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND classid = %s AND objid = %s)",
            LOCK,
        )
        [found] = cursor.fetchone()
    return bool(found)
