"""Vectors of texts that belong to no object: here and now, or in the background."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from embeddings import conf, immediate, ledger, registry
from embeddings.conf import DEFAULT_PROVIDER
from embeddings.exceptions import ConfigurationError
from embeddings.models import DirectText, EmbeddingTask, Status
from embeddings.providers import get_provider
from embeddings.text import SourceText, clean

FIELD = "embedding"
# Texts that one transaction deletes, so that it stays short.
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class TextResult:
    """What became of a text: its task's status, the vector once that is "completed", and the error ("" for none)."""

    status: str
    vector: list[float] | None
    error: str


def embed_now(text: str) -> list[float]:
    """The vector of the default provider; raises the ProviderError, or ValueError or TypeError for what is no text."""
    usable = _usable(text)
    provider = get_provider(DEFAULT_PROVIDER)
    return [float(number) for number in immediate.make(SourceText(usable, provider), provider).vector]


def embed_later(text: str) -> int:
    """Record the text; returns the id of the task whose `result` will have the vector."""
    usable = _usable(text)
    using = _database()
    with transaction.atomic(using=using):
        stored = DirectText.objects.using(using).create(text=usable)
        return _tasks().get(object_id=str(stored.pk)).pk


def result(task_id: int) -> TextResult:
    """What became of a text; raises LookupError if there is none with this task (any more)."""
    task = _tasks().filter(pk=task_id).first()
    stored = DirectText.objects.using(_database()).filter(pk=task.object_id).first() if task else None
    if task is None or stored is None:
        raise LookupError(f"There is no text with the task {task_id}; old ones are deleted.")
    vector = stored.embedding if task.status == Status.COMPLETED else None
    return TextResult(task.status, None if vector is None else list(vector), task.error_message)


def older(days: int) -> QuerySet[DirectText]:
    """The texts that are older, the oldest first."""
    return DirectText.objects.using(_database()).filter(created_at__lt=Now() - timedelta(days=days)).order_by("pk")


def delete_before(days: int) -> int:
    """Delete the texts that are older, with their tasks; returns how many."""
    using = _database()
    old = older(days)
    content_type = ContentType.objects.db_manager(using).get_for_model(DirectText)
    deleted = 0
    while keys := list(old.values_list("pk", flat=True)[:BATCH]):
        # Without signals, which would be a statement a text.
        with transaction.atomic(using=using):
            old.filter(pk__in=keys)._raw_delete(using)
            ledger.forget(content_type.pk, [str(key) for key in keys], using=using)
        deleted += len(keys)
    return deleted


def register() -> None:
    """Make the texts a target like any other, if there is a provider for them."""
    try:
        is_configured = DEFAULT_PROVIDER in conf.provider_aliases()
    except ConfigurationError:  # the checks say so
        return
    if is_configured:
        registry.register(DirectText, FIELD, source="text")


def _usable(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"A text to embed is a str, not {type(text).__name__}.")
    if not conf.current().enabled:
        raise ConfigurationError('Nothing is embedded while EMBEDDINGS["ENABLED"] is False.')
    usable = clean(text)
    if not usable:
        raise ValueError("There is nothing to embed in a text without visible characters.")
    get_provider(DEFAULT_PROVIDER)
    return usable


def _database() -> str:
    return conf.current().databases[0]


def _tasks() -> QuerySet[EmbeddingTask]:
    using = _database()
    content_type = ContentType.objects.db_manager(using).get_for_model(DirectText)
    return EmbeddingTask.objects.using(using).filter(content_type_id=content_type.pk, field=FIELD)
