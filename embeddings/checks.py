"""System checks: every misconfiguration has an id, one sentence, and a hint that is an edit or a command.

Those that need the database or Redis run with `manage.py check --database default` and in `migrate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, Warning
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, router
from django.utils.module_loading import import_string

from embeddings import conf, jobs, registry
from embeddings.exceptions import ConfigurationError
from embeddings.models import Priority
from embeddings.providers import get_provider
from embeddings.registry import Target
from embeddings.worker import EmbeddingWorker

# An index of more dimensions cannot be built (pgvector README, "HNSW").
MAX_INDEXED = {False: 2_000, True: 4_000}
# Older versions can corrupt HNSW indexes in vacuum (pgvector CHANGELOG, 0.8.3 and 0.8.4).
MIN_PGVECTOR = (0, 8, 4)
EXTENSION = "vector"
# The length of EmbeddingTask.object_id.
MAX_KEY = 255


@checks.register("embeddings")
def check_settings(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """EMBEDDINGS, EMBEDDING_PROVIDERS and the queue."""
    # Providers and the queue are read through EMBEDDINGS: say what is wrong there first.
    return list(_check_embeddings()) or [*_check_times(), *_check_providers(), *_check_queue()]


@checks.register(Tags.models)
def check_targets(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Every embedded field."""
    found: list[CheckMessage] = []
    for target in registry.all_targets():
        for check in _TARGET_CHECKS:
            found += check(target)
    return found


def _check_embeddings() -> Iterator[CheckMessage]:
    try:
        conf.current()
    except ConfigurationError as exc:
        yield Error(str(exc), hint="Edit EMBEDDINGS in your settings.", id="embeddings.E001")


def _check_times() -> Iterator[CheckMessage]:
    """A worker renews its leases between two statements."""
    settings = conf.current()
    if settings.lease_seconds < 2 * settings.statement_timeout_seconds:
        yield Warning(
            f"A lease of {settings.lease_seconds:g} s may run out in a statement of "
            f"{settings.statement_timeout_seconds:g} s, and its work be done twice.",
            hint='Make EMBEDDINGS["LEASE_SECONDS"] at least twice as long as "STATEMENT_TIMEOUT_SECONDS".',
            id="embeddings.W016",
        )


def _check_providers() -> Iterator[CheckMessage]:
    try:
        aliases = conf.provider_aliases()
    except ConfigurationError as exc:
        yield Error(str(exc), hint="Edit EMBEDDING_PROVIDERS in your settings.", id="embeddings.E002")
        return
    for alias in aliases:
        try:
            get_provider(alias)
        except ConfigurationError as exc:
            yield Error(str(exc), hint=f"Edit EMBEDDING_PROVIDERS[{alias!r}] in your settings.", id="embeddings.E002")


def _check_queue() -> Iterator[CheckMessage]:
    queue = conf.current().queue
    if queue not in conf.rq_queues():
        yield Error(
            f"RQ_QUEUES has no queue {queue!r}.",
            hint=f'Add RQ_QUEUES = {{"{queue}": {{"URL": "redis://localhost:6379/0"}}}} to your settings.',
            id="embeddings.E003",
        )
    if not _sweeps(conf.rq_worker_class()):
        yield Warning(
            "RQ's workers will not look for due tasks, retries and lost pokes.",
            hint='Set RQ = {"WORKER_CLASS": "embeddings.worker.EmbeddingWorker"} in your settings.',
            id="embeddings.W004",
        )


def _sweeps(worker_class: Any) -> bool:
    try:
        found = import_string(worker_class) if isinstance(worker_class, str) else worker_class
        return issubclass(found, EmbeddingWorker)
    except (ImportError, TypeError):
        return False


def _check_provider_of(target: Target) -> Iterator[CheckMessage]:
    if target.provider not in conf.provider_aliases():
        yield Error(
            f"{target.label} is embedded by provider {target.provider!r}, which EMBEDDING_PROVIDERS does not have.",
            hint=f"Add it there, or use one of: {', '.join(conf.provider_aliases()) or 'none yet'}.",
            obj=target.model,
            id="embeddings.E005",
        )


def _check_dimensions(target: Target) -> Iterator[CheckMessage]:
    field = target.vector_field
    dimensions = getattr(field, "dimensions", None)
    try:
        wanted = conf.provider_settings(target.provider).dimensions
    except ConfigurationError:
        return
    if dimensions is not None and dimensions != wanted:
        yield Error(
            f"{target.label} has {dimensions} dimensions, but its provider {target.provider!r} makes {wanted}.",
            hint=f"Set dimensions={wanted} and migrate, or change DIMENSIONS of the provider.",
            obj=target.model,
            id="embeddings.E006",
        )
    half = bool(getattr(field, "half", False))
    if dimensions is not None and dimensions > MAX_INDEXED[half]:
        yield Warning(
            f"{target.label} has {dimensions} dimensions; an HNSW index takes {MAX_INDEXED[half]:,} at most.",
            hint="Use half=True (up to 4,000), or fewer dimensions." if not half else "Use fewer dimensions.",
            obj=target.model,
            id="embeddings.W007",
        )


def _check_source(target: Target) -> Iterator[CheckMessage]:
    names = [*target.names, *([target.when] if isinstance(target.when, str) else [])]
    if not names and not callable(target.source):
        names = [""]
    for name in names:
        if not _leads_somewhere(target.model, name.split(".")):
            yield Error(
                f"{target.label} has the source {name!r}, which {target.model._meta.label} does not have.",
                hint="Use names of fields, dotted paths through foreign keys, a method's name, or a callable.",
                obj=target.model,
                id="embeddings.E008",
            )


def _leads_somewhere(model: type[models.Model], names: Sequence[str]) -> bool:
    first, *rest = names
    try:
        field: Any = model._meta.get_field(first)
    except FieldDoesNotExist:
        return hasattr(model, first)
    if not rest:
        return True
    return not field.is_relation or (field.related_model and _leads_somewhere(field.related_model, rest))


def _check_options(target: Target) -> Iterator[CheckMessage]:
    if target.priority not in Priority.values or target.delay_seconds < 0:
        yield Error(
            f"{target.label} needs a priority of {', '.join(Priority.values)} and a delay of 0 or more seconds.",
            hint="Edit the EmbeddingField.",
            obj=target.model,
            id="embeddings.E009",
        )


def _check_database_of(target: Target) -> Iterator[CheckMessage]:
    try:
        databases = conf.current().databases
    except ConfigurationError:
        return
    using = router.db_for_write(target.model)
    if using not in databases:
        yield Error(
            f"{target.label} is stored in database {using!r}, where no worker looks for tasks.",
            hint=f'Add {using!r} to EMBEDDINGS["DATABASES"], and run: manage.py migrate embeddings --database {using}',
            obj=target.model,
            id="embeddings.E010",
        )


def _check_key(target: Target) -> Iterator[CheckMessage]:
    key = target.key_field
    if isinstance(key, models.TextField | models.CharField) and not (key.max_length or 256) <= MAX_KEY:
        yield Error(
            f"The primary key of {target.model._meta.label} may be longer than the {MAX_KEY} characters of a task's.",
            hint=f"Give the key max_length={MAX_KEY} or less, or embed a model with another key.",
            obj=target.model,
            id="embeddings.E015",
        )


_TARGET_CHECKS = (
    _check_provider_of,
    _check_dimensions,
    _check_source,
    _check_options,
    _check_database_of,
    _check_key,
)


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
    return [*found, *(_check_redis() if wanted else ())]


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


_DATABASE_CHECKS = (_check_pgvector, _check_columns, _check_pooler)


def _check_redis() -> Iterator[CheckMessage]:
    policy = jobs.eviction_policy()
    if policy is not None and policy != "noeviction":
        yield Warning(
            f"Redis may drop keys when its memory is full (maxmemory-policy is {policy}).",
            hint="Run: redis-cli CONFIG SET maxmemory-policy noeviction (and put it into its configuration file).",
            id="embeddings.W014",
        )
