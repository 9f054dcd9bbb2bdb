"""What a database is: versions, and migrations that it lacks. Cheap enough to be asked every few seconds."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from importlib import import_module

from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

APP = "embeddings"


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """As the server says it."""

    postgresql: str
    # "" where the extension is not installed.
    pgvector: str
    # Names of this app's migrations that were not applied.
    unapplied: list[str]


def of_database(using: str) -> DatabaseFacts:
    """Raises the database's errors."""
    with connections[using].cursor() as cursor:
        cursor.execute("SHOW server_version")
        ((version,),) = cursor.fetchall()
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        extension = cursor.fetchone()
    return DatabaseFacts(
        postgresql=version.split()[0], pgvector=extension[0] if extension else "", unapplied=_unapplied(using)
    )


def _unapplied(using: str) -> list[str]:
    recorded = MigrationRecorder(connections[using]).applied_migrations()
    return sorted(_known() - {name for app, name in recorded if app == APP})


def _known() -> set[str]:
    """The names of this app's migrations; none where MIGRATION_MODULES says that it has none."""
    module, _ = MigrationLoader.migrations_module(APP)
    return {found.name for found in pkgutil.iter_modules(import_module(module).__path__)} if module else set()
