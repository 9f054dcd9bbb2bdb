"""From saves and deletes of embedded objects to requests in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any

from django.apps import apps
from django.db import models, router, transaction
from django.db.models.signals import class_prepared, post_delete, post_save

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
    if registry.targets_for(model):
        post_save.connect(_saved, sender=model, dispatch_uid=_UID)
        post_delete.connect(_deleted, sender=model, dispatch_uid=_UID)
        _make_saves_atomic(model)
    if registry.dependents_of(model):
        post_save.connect(_related_saved, sender=model, dispatch_uid=f"{_UID}.related")
        _make_saves_atomic(model)


def _make_saves_atomic(model: type[models.Model]) -> None:
    """Let a save and its ledger row be one transaction, also in autocommit mode, where Django sends post_save late."""
    save_base: Callable[..., None] = model.save_base
    if getattr(save_base, "_embeddings_is_atomic", False):
        return

    @wraps(save_base)
    def atomic_save_base(self: models.Model, *args: Any, using: str | None = None, **kwargs: Any) -> None:
        alias = using or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=alias, savepoint=False):
            save_base(self, *args, using=alias, **kwargs)

    atomic_save_base._embeddings_is_atomic = True  # type: ignore[attr-defined]
    model.save_base = atomic_save_base  # type: ignore[method-assign]


def _saved(
    sender: type[models.Model],
    instance: models.Model,
    raw: bool,
    using: str,
    update_fields: Collection[str] | None,
    **kwargs: object,
) -> None:
    bulk.request_objects(sender, [instance], saved=update_fields, is_raw=raw, using=using)


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
    for dependent in registry.dependents_of(sender):
        if update_fields is None or dependent.name in update_fields:
            bulk.request_dependents(dependent, instance, using=using)


def _deleted(sender: type[models.Model], instance: models.Model, using: str, **kwargs: object) -> None:
    bulk.forget_object(sender, instance, using=using)
