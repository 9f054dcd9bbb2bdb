"""What a box holds: an object that is not stored yet, as JSON in the shape of Django's own serializer."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.expressions import DatabaseDefault

from embeddings.exceptions import BoxError

_JSON_TYPES = (bool, int, str)


def pack(instance: models.Model, *, without: Collection[str]) -> dict[str, Any]:
    """{"model": "app.model", "fields": {name: value}} of a valid instance; `without` names fields that are left out.

    What the database itself makes is left out too. Raises ValidationError, by field, for what JSON cannot hold.
    """
    packed, problems = {}, {}
    for field in _stored_fields(type(instance)):
        if field.name in without or isinstance(field.value_from_object(instance), DatabaseDefault):
            continue
        try:
            packed[field.name] = _pack(field, instance)
        except (TypeError, ValueError, ValidationError) as exc:
            why = str(exc) if isinstance(exc, _Unboxable) else "its value does not come back from JSON as it was"
            problems[field.name] = f"This {type(field).__name__} cannot be boxed: {why}."
    if problems:
        raise ValidationError(problems)
    return {"model": instance._meta.label_lower, "fields": packed}


def unpack(payload: str, using: str) -> models.Model:
    """The instance again, not stored; raises BoxError if the model is not any more what the box was made for."""
    box = json.loads(payload)
    label = box["model"]
    try:
        model = apps.get_model(label)
    except LookupError as exc:
        raise BoxError(f"The box holds a {label}, a model that is gone.") from exc
    fields = {field.name: field for field in _stored_fields(model)}
    values = {}
    for name, packed in box["fields"].items():
        if name not in fields:
            raise BoxError(f"The box holds a value for {name!r}, a field that {model._meta.label} has no more.")
        try:
            values[fields[name].attname] = fields[name].to_python(packed)
        except (TypeError, ValueError, ValidationError) as exc:
            raise BoxError(f"The box holds a value for {name!r} that the field does not take any more.") from exc
    instance: models.Model = model(**values)
    instance._state.db = using
    return instance


def words(payload: str) -> list[str]:
    """The texts that a box holds, for keeping them out of messages."""
    return list(_strings(json.loads(payload)["fields"]))


class _Unboxable(ValueError):
    """Says why."""


def _stored_fields(model: type[models.Model]) -> Iterator[Any]:
    return (field for field in model._meta.concrete_fields if not getattr(field, "generated", False))


def _pack(field: Any, instance: models.Model) -> Any:
    value = field.value_from_object(instance)
    if hasattr(value, "resolve_expression"):
        raise _Unboxable("its value is an expression, which only an INSERT can evaluate")
    if isinstance(field, models.FileField) and value and not value._committed:
        raise _Unboxable("its file is not stored yet; store it first, and give its name")
    if isinstance(field, models.JSONField):
        packed = json.loads(json.dumps(value, cls=field.encoder, allow_nan=False))
    else:
        packed = _plain(field, instance, value)
    if not all(map(_is_storable, _strings(packed))):
        raise _Unboxable("PostgreSQL stores neither NUL nor half of a surrogate pair")
    return packed


def _plain(field: Any, instance: models.Model, value: Any) -> Any:
    """A value that JSON has, or the field's own text for it."""
    is_json = value is None or isinstance(value, _JSON_TYPES) or (isinstance(value, float) and math.isfinite(value))
    packed = value if is_json else field.value_to_string(instance)
    if not bool(field.to_python(json.loads(json.dumps(packed))) == value):
        raise ValueError
    return packed


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _is_storable(text: str) -> bool:
    return "\0" not in text and text.encode(errors="replace").decode() == text
