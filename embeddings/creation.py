"""Create objects that never appear without their vector: boxed until a worker has made it, or at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.expressions import DatabaseDefault

from embeddings import bulk, conf, immediate, jobs, ledger, metrics, model_ids, pauses, payload, registry, writer
from embeddings.exceptions import ConfigurationError
from embeddings.pipeline import storing
from embeddings.pipeline.intake import Effect, Item, Settlement
from embeddings.providers import get_provider
from embeddings.registry import Target
from embeddings.text import SourceText, source_text

M = TypeVar("M", bound=models.Model)


@dataclass(frozen=True, slots=True)
class Boxed:
    """An object to come: its future primary key, as the key's field has it, and the task that will store it.

    There is no task where EMBEDDINGS["ENABLED"] is False: then the object is stored already, without a vector.
    """

    entity_id: Any
    task_id: int | None


def create_boxed(model: type[models.Model], values: Mapping[str, Any], *, field: str | None, using: str) -> Boxed:
    """Validate an object and record it in the ledger, in the caller's transaction; a worker stores it with its vector.

    `field` names the vector that it appears with, where the model has several. Raises ValidationError.
    """
    target = _target(model, field, using)
    instance = _valid(model, values, using)
    if not conf.current().enabled:
        instance.save(force_insert=True, using=using)
        return Boxed(instance.pk, None)
    vectors = {each.field for each in registry.targets_for(model)}
    _give_key(instance, using)
    wish = bulk.request_of(target, target.object_id(instance), using)
    task_id = ledger.box(wish, payload.pack(instance, without=vectors), using=using)
    if task_id is None:
        raise _key_is_boxed(instance)
    jobs.schedule([task_id], using=using)
    return Boxed(instance.pk, task_id)


def create_now(model: type[M], values: Mapping[str, Any], *, field: str | None, using: str) -> M:
    """Validate an object, ask its provider once, and store it with its vector; returns it.

    Raises ValidationError or the ProviderError; nothing is stored then. No transaction is opened before the answer.
    """
    target = _target(model, field, using)
    instance = _valid(model, values, using)
    if not conf.current().enabled:
        instance.save(force_insert=True, using=using)
        return instance
    pauses.check(target.provider, target)
    provider = get_provider(target.provider)
    text = source_text(instance, target, provider)
    made = immediate.make(text, provider) if text.text else None
    model_ids.record(target, provider, using=using)
    with transaction.atomic(using=using):
        writer.insert(target, instance, made and made.vector, using)
        _settle(instance, target, text, made, using)
    metrics.hand_over_after_commit()
    return instance


def _settle(instance: models.Model, target: Target, text: SourceText, made: immediate.Made | None, using: str) -> None:
    """Record the vector that was just stored."""
    ids = ledger.request([bulk.request_of(target, target.object_id(instance), using)], is_overwritten=True, using=using)
    for claim in ledger.claim_ids(ids, [target.provider], worker=immediate.WORKER, using=using):
        if claim.is_boxed:
            raise _key_is_boxed(instance)
        item = Item(claim, target, using, text, xmin="")
        settlement = Settlement(item, Effect.CLEAR)
        if made is not None:
            settlement = Settlement(item, Effect.WRITE, made.vector, made.tokens, made.truncated)
        if not storing.settle(settlement):
            jobs.schedule([claim.id], using=using)


def _target(model: type[models.Model], field: str | None, using: str) -> Target:
    label = model._meta.label
    if model._meta.concrete_model._meta.parents:  # type: ignore[union-attr]
        raise ConfigurationError(f"{label} cannot be boxed: it is stored in several tables, its parents' and its own.")
    if conf.current().enabled and using not in conf.current().databases:
        raise ConfigurationError(f'Database {using!r} has no ledger; add it to EMBEDDINGS["DATABASES"].')
    targets = registry.targets_for(model)
    found = [target for target in targets if field in {None, target.field}]
    if len(found) == 1:
        return found[0]
    names = ", ".join(target.field for target in targets) or "none"
    raise ConfigurationError(f"Say with `field` which embedded field of {label} is to be filled: {names}.")


def _valid(model: type[M], values: Mapping[str, Any], using: str) -> M:
    """An instance that may be saved as it is; raises TypeError, as the model does, for names that it does not have."""
    for name, value in values.items():
        if hasattr(value, "resolve_expression"):
            raise ValidationError({name: "An expression cannot be validated; give a value."})
    instance = model(**values)
    for target in registry.targets_for(model):
        if getattr(instance, target.field) is not None:
            raise ValidationError({target.field: "Leave it out: it gets the vector of the object's own text."})
    instance._state.db = using
    instance._prepare_related_fields_for_save(operation_name="create")  # type: ignore[attr-defined]
    instance.full_clean()
    return instance


def _give_key(instance: models.Model, using: str) -> None:
    if instance.pk is None:
        instance.pk = writer.next_key(type(instance), using)
    if instance.pk is None or isinstance(instance.pk, DatabaseDefault):
        raise ValidationError({_key_name(instance): "Give a key: only an INSERT could make one."})


def _key_is_boxed(instance: models.Model) -> ValidationError:
    return ValidationError({_key_name(instance): "An object with this key waits in a box already."})


def _key_name(instance: models.Model) -> str:
    return str(instance._meta.pk.name)
