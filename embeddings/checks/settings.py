"""EMBEDDINGS, EMBEDDING_PROVIDERS and the queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error, Warning
from django.utils.module_loading import import_string

from embeddings import conf
from embeddings.exceptions import ConfigurationError
from embeddings.providers import get_provider
from embeddings.worker import EmbeddingWorker


@checks.register("embeddings")
def check_settings(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """EMBEDDINGS, EMBEDDING_PROVIDERS and the queue."""
    # Providers and the queue are read through EMBEDDINGS: say what is wrong there first.
    return list(_check_embeddings()) or [*_check_times(), *_check_providers(), *_check_queue()]


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
    webhooks = conf.current().webhook_queue
    if webhooks and webhooks not in conf.rq_queues():
        yield Error(
            f"RQ_QUEUES has no queue {webhooks!r}, which EMBEDDINGS['WEBHOOK_QUEUE'] names.",
            hint=f"Add it to RQ_QUEUES, and run a worker for it: manage.py rqworker {webhooks}",
            id="embeddings.E041",
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
