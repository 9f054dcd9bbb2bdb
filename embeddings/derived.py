"""What is made of an object's text, and kept current by tasks: a vector, or chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models

from embeddings.conf import DEFAULT_PROVIDER
from embeddings.models import Priority

Source = str | Sequence[str] | Callable[[Any], str | None]
Predicate = str | Callable[[Any], bool]


@dataclass(frozen=True, eq=False)
class Derived:
    """What is made of the text of a `model`'s objects, and known to the ledger as `field`. The model is concrete."""

    model: type[models.Model]
    # The vector's field, or the attribute that declares the chunks.
    field: str
    source: Source
    provider: str = DEFAULT_PROVIDER
    priority: str = Priority.NORMAL
    delay_seconds: float = 0.0
    when: Predicate | None = None

    @property
    def label(self) -> str:
        """ "content.article.embedding"."""
        return f"{self.model._meta.label_lower}.{self.field}"

    @property
    def sources(self) -> tuple[Source, ...]:
        """Everything that the text is made from."""
        return (self.source,)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The sources' names: fields, dotted paths or methods; a callable has none."""
        return tuple(name for source in self.sources for name in names_of(source))

    @cached_property
    def columns(self) -> tuple[str, ...] | None:
        """The sources' fields if they are nothing but columns of the object's own table, else None.

        Only then do a row's own versions tell all about its text.
        """
        if self._is_code:
            return None
        own = {field.name for field in self.model._meta.local_concrete_fields if not field.is_relation}
        if not own.intersection(stored(self.model)).issuperset(self.names):
            return None
        return self.names

    @cached_property
    def relations(self) -> tuple[str, ...]:
        """The forward relations of dotted paths, for select_related."""
        paths = (list(steps(self.model, name.split(".")[:-1])) for name in self.names)
        return tuple(path[-1][1] for path in paths if path)

    @cached_property
    def lookups(self) -> tuple[str, ...]:
        """The source as a query can read it ("author__name"); none if any of it is code."""
        found = []
        for path in self.names:
            *relations, name = path.split(".")
            taken = list(steps(self.model, relations))
            holder = taken[-1][2] if taken else self.model
            if len(taken) < len(relations) or name not in stored(holder):
                return ()
            found.append("__".join([*relations, name]))
        return tuple(found)

    def is_touched_by(self, names: Iterable[str]) -> bool:
        """Whether a write of these fields (names or attnames) may change the text."""
        written = field_names(self.model, names) - {self.field}
        if self.columns is not None:
            return not written.isdisjoint(self.columns)
        if self.is_computed:
            return bool(written)
        return not written.isdisjoint(name.split(".")[0] for name in self.names)

    @cached_property
    def is_computed(self) -> bool:
        """Whether code, or an expression in the database, may make the text from any field."""
        if self._is_code:
            return True
        return not stored(self.model).issuperset(name.split(".")[0] for name in self.names)

    @property
    def _is_code(self) -> bool:
        return any(callable(source) for source in self.sources) or self.when is not None

    def content_type_id(self, using: str) -> int:
        return ContentType.objects.db_manager(using).get_for_model(self.model).pk

    def name_of(self, key: Any) -> str:
        """An object as messages name it: "content.Article 12"."""
        return f"{self.model._meta.label} {key}"

    def is_key(self, object_id: str) -> bool:
        """Whether an object can have this key: not after the key's type has changed."""
        try:
            self.key_field.to_python(object_id)
        except (ValueError, TypeError, ValidationError):
            return False
        return True

    def object_id(self, instance: models.Model) -> str:
        """The ledger's key of `instance`, also when it is a child or a proxy of `model`.

        A key has one spelling there, however the instance has it: "007" is 7, a UUID has hyphens.
        """
        return str(self.key_field.to_python(instance._get_pk_val(self.model._meta)))

    @cached_property
    def key_field(self) -> Any:
        """The primary key's field; if that is a relation, the field that it refers to in the end."""
        field: Any = self.model._meta.pk
        while field.remote_field:
            field = field.remote_field.get_related_field()
        return field


def names_of(source: Source) -> tuple[str, ...]:
    """A source's names; a callable has none."""
    if callable(source):
        return ()
    return (source,) if isinstance(source, str) else tuple(source)


def stored(model: type[models.Model]) -> set[str]:
    """The fields that a write sets: not those that the database generates from others."""
    return {field.name for field in model._meta.concrete_fields if not getattr(field, "generated", False)}


def field_names(model: type[models.Model], names: Iterable[str]) -> set[str]:
    """The names of fields that are given by name or attname."""
    by_attname = {field.attname: field.name for field in model._meta.concrete_fields}
    return {by_attname.get(name, name) for name in names}


def steps(model: type[models.Model], names: Sequence[str]) -> Iterator[tuple[int, str, type[models.Model], bool]]:
    """(depth, lookup, model, whether deletes cascade) of each forward relation along `names`."""
    current = model
    for depth, name in enumerate(names, 1):
        try:
            field: Any = current._meta.get_field(name)
        except FieldDoesNotExist:
            return
        if not (field.is_relation and (field.many_to_one or field.one_to_one) and field.related_model):
            return
        current = field.related_model
        yield depth, "__".join(names[:depth]), current, field.remote_field.on_delete is models.CASCADE
