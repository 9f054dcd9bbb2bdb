"""PostgreSQL with pgvector, its columns, what stands between, and the Redis of the queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, Warning
from django.db import connections

from embeddings import conf, indexes, jobs, registry
from embeddings.exceptions import ConfigurationError
from embeddings.models import IndexRebuild, WebhookEndpoint
from embeddings.webhooks import packages

# Older versions can corrupt HNSW indexes in vacuum (pgvector CHANGELOG, 0.8.3 and 0.8.4).
MIN_PGVECTOR = (0, 8, 4)
EXTENSION = "vector"


@checks.register(Tags.database)
def check_databases(
    app_configs: object, databases: Sequence[str] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """pgvector, the columns' dimensions, and the Redis of the queue."""
    try:
        wanted = set(databases or ()) & set(conf.current().databases)
    except ConfigurationError:
        return []
    found = [message for using in sorted(wanted) for check in _DATABASE_CHECKS for message in check(using)]
    return [*found, *(_check_redis() if wanted else ()), *_check_webhooks(wanted)]


def _check_pgvector(using: str) -> Iterator[CheckMessage]:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT default_version, installed_version FROM pg_available_extensions WHERE name = %s", [EXTENSION]
        )
        row = cursor.fetchone()
    if row is None:
        yield Error(
            f"The PostgreSQL server of database {using!r} does not have pgvector.",
            hint="Install pgvector 0.8.4 or later on the server (on Debian: postgresql-NN-pgvector).",
            id="embeddings.E011",
        )
        return
    version = row[1] or row[0]
    if tuple(int(part) for part in version.split(".")[:3]) < MIN_PGVECTOR:
        yield Warning(
            f"Database {using!r} has pgvector {version}; before 0.8.4 a vacuum can corrupt an HNSW index.",
            hint="Install pgvector 0.8.4 or later on the server, then run: ALTER EXTENSION vector UPDATE",
            id="embeddings.W012",
        )


def _check_columns(using: str) -> Iterator[CheckMessage]:
    """A vector column's type modifier is its number of dimensions."""
    connection = connections[using]
    for target in registry.all_targets():
        field = target.vector_field
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT atttypmod FROM pg_attribute"
                " WHERE attrelid = to_regclass(%s) AND attname = %s AND NOT attisdropped",
                [connection.ops.quote_name(target.model._meta.db_table), field.column],
            )
            row = cursor.fetchone()
        if row and row[0] > 0 and field.dimensions is not None and row[0] != field.dimensions:
            yield Error(
                f"The column of {target.label} in database {using!r} has {row[0]} dimensions, the field "
                f"{field.dimensions}.",
                hint=f"Set dimensions={row[0]}, or change the column with a migration (its vectors are made anew).",
                obj=target.model,
                id="embeddings.E013",
            )


def _check_pooler(using: str) -> Iterator[CheckMessage]:
    """Behind PgBouncer the process that a session was promised at its start is not the one that answers."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (answering,) = cursor.fetchone()
    promised = connection.connection.info.backend_pid
    if answering != promised and not connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]:
        yield Warning(
            f"Database {using!r} is reached through a pooler such as PgBouncer; an .iterator() outside a transaction "
            "would look for its cursor on another session.",
            hint=f'Set DATABASES[{using!r}]["DISABLE_SERVER_SIDE_CURSORS"] = True.',
            id="embeddings.W017",
        )


def _check_rebuilds(using: str) -> Iterator[CheckMessage]:
    """Indexes that a backfill has dropped, and that nobody is about to build."""
    if IndexRebuild._meta.db_table not in connections[using].introspection.table_names() or indexes.is_running(using):
        return
    for record in indexes.unfinished(using):
        found = indexes.find(record.schema, record.name, using)
        if found is None or not found.is_valid:
            yield Warning(
                f"The index {record.name} of {record.target} in database {using!r} was dropped for a backfill that was "
                "cut off; searches compare every row.",
                hint=f"Run: manage.py requeue_missing --rebuild-index --model {record.target}",
                id="embeddings.W019",
            )


def _check_webhooks(wanted: set[str]) -> Iterator[CheckMessage]:
    """Endpoints are of no use without the packages that send."""
    first = conf.current().databases[0]
    if not packages.missing() or first not in wanted:
        return
    table = WebhookEndpoint._meta.db_table
    is_there = table in connections[first].introspection.table_names()
    if is_there and WebhookEndpoint.objects.using(first).filter(is_enabled=True).exists():
        yield Error(
            f"There are webhook endpoints, and nothing can be sent without {' and '.join(packages.missing())}.",
            hint=f"Run: {packages.INSTALL}",
            id="embeddings.E042",
        )


_DATABASE_CHECKS = (_check_pgvector, _check_columns, _check_pooler, _check_rebuilds)


def _check_redis() -> Iterator[CheckMessage]:
    policy = jobs.eviction_policy()
    if policy is not None and policy != "noeviction":
        yield Warning(
            f"Redis may drop keys when its memory is full (maxmemory-policy is {policy}).",
            hint="Run: redis-cli CONFIG SET maxmemory-policy noeviction (and put it into its configuration file).",
            id="embeddings.W014",
        )
