"""The PostgreSQL and the Valkey of one test session: started once, before Django reads its settings."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from project.development import lock
from project.development.postgres import PostgresServer
from project.development.valkey import ValkeyServer

PREFIX = "embeddings-tests-"
# Says which session has started servers, and which of the two addresses are theirs.
_STARTED = "TEST_SERVERS_STARTED"

postgres: PostgresServer | None = None
valkey: ValkeyServer | None = None
_stack = contextlib.ExitStack()


def start() -> None:
    """Start what DATABASE_URL and REDIS_URL do not name, and set them; child processes inherit both.

    Sessions side by side (`make test` runs two) have servers of their own: not those of the one that began them.
    """
    global postgres, valkey
    session = os.environ.get("PYTEST_XDIST_WORKER", "only")
    starter, _, theirs = os.environ.get(_STARTED, f"{session}:").partition(":")
    if starter != session:
        for name in theirs.split():
            del os.environ[name]
    if os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"):
        return
    remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    owner = os.getpid()
    atexit.register(lambda: stop() if os.getpid() == owner else None)  # A forked child must not stop them.
    _stack.callback(shutil.rmtree, folder, ignore_errors=True)
    _stack.enter_context(lock.held(folder / "lock"))
    ours = [name for name in ("DATABASE_URL", "REDIS_URL") if not os.environ.get(name)]
    os.environ[_STARTED] = f"{session}:{' '.join(ours)}"
    if not os.environ.get("DATABASE_URL"):
        postgres = _stack.enter_context(PostgresServer(folder / "postgres", durable=False))
        os.environ["DATABASE_URL"] = postgres.url
    if not os.environ.get("REDIS_URL"):
        valkey = _stack.enter_context(ValkeyServer(folder / "valkey"))
        os.environ["REDIS_URL"] = valkey.url


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder for servers.

    Not `tmp_path`: PostgreSQL must be another user where we are root, and each pytest session that starts beside ours
    closes the folder above all `tmp_path`s to other users again.
    """
    with tempfile.TemporaryDirectory(prefix="embeddings-server-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def stop() -> None:
    _stack.close()


def remove_leftovers() -> None:
    """Stop the servers of test sessions that were killed, and delete their folders."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if _is_abandoned(folder):
            PostgresServer(folder / "postgres").stop()
            ValkeyServer(folder / "valkey").stop()
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    """Whether the session that made the folder is gone: its lock is there, and free."""
    try:
        with (folder / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
