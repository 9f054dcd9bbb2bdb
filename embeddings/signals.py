"""From saves and deletes of embedded objects to requests in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import nullcontext
from functools import wraps
from typing import Any

from django.apps import apps
from django.db import connections, models, router, transaction
from django.db.models.signals import class_prepared, post_delete, post_save, pre_delete

from embeddings import bulk, registry

_UID = "embeddings"


def connect_all() -> None:
    """Connect every model whose saves may touch a target, now and as classes are made later."""
    for model in apps.get_models(include_auto_created=True):
        connect(model)
    class_prepared.connect(_connect_prepared, dispatch_uid=_UID)
    registry.target_added.connect(_connect_added, dispatch_uid=_UID)


def _connect_prepared(sender: type[models.Model], **kwargs: object) -> None:
    connect(sender)


def _connect_added(sender: type[models.Model], **kwargs: object) -> None:
    if apps.models_ready:
        for model in apps.get_models(include_auto_created=True):
            connect(model)


def connect(model: type[models.Model]) -> None:
    """Queue `model`'s objects when they are saved. Only embedded models get receivers: others keep fast deletes."""
    if registry.derived_for(model):
        post_save.connect(_saved, sender=model, dispatch_uid=_UID)
        post_delete.connect(_deleted, sender=model, dispatch_uid=_UID)
        _make_saves_atomic(model)
    if registry.splittings_for(model):
        pre_delete.connect(_split_deleted, sender=model, dispatch_uid=f"{_UID}.chunks")
    dependents = registry.dependents_of(model)
    if dependents:
        post_save.connect(_related_saved, sender=model, dispatch_uid=f"{_UID}.related")
        _make_saves_atomic(model)
    if not all(dependent.is_deleted_along for dependent in dependents):
        pre_delete.connect(_related_deleted, sender=model, dispatch_uid=f"{_UID}.related")


def _make_saves_atomic(model: type[models.Model]) -> None:
    """Let a save and its ledger row be one transaction, also in autocommit mode, where Django sends post_save late."""
    save_base: Callable[..., None] = model.save_base
    if getattr(save_base, "_embeddings_is_atomic", False):
        return

    @wraps(save_base)
    def atomic_save_base(self: models.Model, *args: Any, using: str | None = None, **kwargs: Any) -> None:
        alias = using or router.db_for_write(type(self), instance=self)
        # A transaction that is open already stays usable after a receiver that raises, as it does in Django.
        is_open = connections[alias].in_atomic_block
        with nullcontext() if is_open else transaction.atomic(using=alias):
            save_base(self, *args, using=alias, **kwargs)

    atomic_save_base._embeddings_is_atomic = True  # type: ignore[attr-defined]
    model.save_base = atomic_save_base  # type: ignore[method-assign]


def _saved(
    sender: type[models.Model],
    instance: models.Model,
    raw: bool,
    created: bool,
    using: str,
    update_fields: Collection[str] | None,
    **kwargs: object,
) -> None:
    # Nobody can catch an error of ours and commit the object without its task.
    with transaction.mark_for_rollback_on_error(using=using):
        bulk.request_objects(sender, [instance], saved=update_fields, is_overwritten=raw or created, using=using)


def _related_saved(
    sender: type[models.Model],
    instance: models.Model,
    created: bool,
    using: str,
    update_fields: Collection[str] | None,
    **kwargs: object,
) -> None:
    if created:
        return  # nothing refers to it yet
    with transaction.mark_for_rollback_on_error(using=using):
        bulk.request_dependents(sender, [instance.pk], saved=update_fields, using=using)


def _related_deleted(sender: type[models.Model], instance: models.Model, using: str, **kwargs: object) -> None:
    """Before the delete, while the rows that refer to the object still do: some only lose their reference."""
    bulk.request_dependents(sender, [instance.pk], using=using)


def _split_deleted(sender: type[models.Model], instance: models.Model, using: str, **kwargs: object) -> None:
    bulk.forget_chunks(sender, instance, using=using)


def _deleted(
    sender: type[models.Model], instance: models.Model, using: str, origin: object = None, **kwargs: object
) -> None:
    if not _goes_with_its_text(sender, origin):
        bulk.forget_object(sender, instance, using=using)


def _goes_with_its_text(model: type[models.Model], origin: object) -> bool:
    """Whether a chunk is deleted because its text is: then `_split_deleted` has forgotten its tasks."""
    if not getattr(model, registry.CHUNK_MARK, False):
        return False
    deleted = origin.model if isinstance(origin, models.QuerySet) else type(origin)
    return any(issubclass(deleted, each.model) for each in registry.all_splittings() if each.chunk_model is model)
