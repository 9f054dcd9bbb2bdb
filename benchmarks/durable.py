"""A PostgreSQL that survives a crash of the machine, as real ones do; that of the tests leaves the disk alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from project.development.postgres import PostgresServer
from tests import services


@contextlib.contextmanager
def postgres() -> Iterator[None]:
    """Start one, and name it in DATABASE_URL, before Django reads its settings. One that is named already is used."""
    if os.environ.get("DATABASE_URL"):
        yield
        return
    with services.folder() as folder, PostgresServer(folder / "postgres") as server:
        os.environ["DATABASE_URL"] = server.url
        yield
