"""What a database is: versions, and migrations that it lacks."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections
from django.db.migrations.executor import MigrationExecutor

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
    executor = MigrationExecutor(connections[using])
    leaves = [key for key in executor.loader.graph.leaf_nodes() if key[0] == APP]
    return [migration.name for migration, _ in executor.migration_plan(leaves) if migration.app_label == APP]
