"""Which model fields are embedded, from which text, by whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.dispatch import Signal

from embeddings.conf import DEFAULT_PROVIDER
from embeddings.exceptions import ConfigurationError
from embeddings.models import Priority

Source = str | Sequence[str] | Callable[[Any], str | None]
Predicate = str | Callable[[Any], bool]


@dataclass(frozen=True, eq=False)
class Target:
    """One embedded model field. `model` is the concrete model whose table has the column."""

    model: type[models.Model]
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

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The source's names: fields, dotted paths or a method; none if it is a callable."""
        if callable(self.source):
            return ()
        return (self.source,) if isinstance(self.source, str) else tuple(self.source)

    @cached_property
    def columns(self) -> tuple[str, ...] | None:
        """The source's fields if it is nothing but columns of the vector's own table, else None.

        Only then do a row's own versions tell all about its text.
        """
        if callable(self.source) or self.when is not None:
            return None
        stored = _stored(self.model)
        own = {field.name for field in self.model._meta.local_concrete_fields if not field.is_relation}
        if not own.intersection(stored).issuperset(self.names):
            return None
        return self.names

    @cached_property
    def relations(self) -> tuple[str, ...]:
        """The forward relations of dotted paths, for select_related."""
        paths = (list(_steps(self.model, name.split(".")[:-1])) for name in self.names)
        return tuple(steps[-1][1] for steps in paths if steps)

    @cached_property
    def lookups(self) -> tuple[str, ...]:
        """The source as a query can read it ("author__name"); none if any of it is code."""
        found = []
        for path in self.names:
            *relations, name = path.split(".")
            steps = list(_steps(self.model, relations))
            holder = steps[-1][2] if steps else self.model
            if len(steps) < len(relations) or name not in _stored(holder):
                return ()
            found.append("__".join([*relations, name]))
        return tuple(found)

    @property
    def vector_field(self) -> Any:
        return self.model._meta.get_field(self.field)

    def is_touched_by(self, names: Iterable[str]) -> bool:
        """Whether a write of these fields (names or attnames) may change the text."""
        written = _field_names(self.model, names) - {self.field}
        if self.columns is not None:
            return not written.isdisjoint(self.columns)
        if self.is_computed:
            return bool(written)
        return not written.isdisjoint(name.split(".")[0] for name in self.names)

    @cached_property
    def is_computed(self) -> bool:
        """Whether code, or an expression in the database, may make the text from any field."""
        if callable(self.source) or self.when is not None:
            return True
        return not _stored(self.model).issuperset(name.split(".")[0] for name in self.names)

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


def _stored(model: type[models.Model]) -> set[str]:
    """The fields that a write sets: not those that the database generates from others."""
    return {field.name for field in model._meta.concrete_fields if not getattr(field, "generated", False)}


def _field_names(model: type[models.Model], names: Iterable[str]) -> set[str]:
    by_attname = {field.attname: field.name for field in model._meta.concrete_fields}
    return {by_attname.get(name, name) for name in names}


_targets: dict[tuple[type[models.Model], str], Target] = {}

# Sent with `target` when one is registered.
target_added = Signal()


def register(
    model: type[models.Model],
    field: str,
    source: Source,
    *,
    provider: str = DEFAULT_PROVIDER,
    priority: str = Priority.NORMAL,
    delay: float = 0.0,
    when: Predicate | None = None,
) -> Target:
    """Embed a vector column of a model that you cannot edit; the options are those of EmbeddingField.

    Call it in an AppConfig's `ready()`.
    """
    target = Target(
        model=model._meta.concrete_model or model,
        field=field,
        source=source,
        provider=provider,
        priority=priority,
        delay_seconds=delay,
        when=when,
    )
    add(target)
    return target


def add(target: Target) -> None:
    """Register a target; the same model field again replaces it."""
    _targets[(target.model, target.field)] = target
    _forget_lookups()
    target_added.send(sender=target.model, target=target)


def remove(model: type[models.Model], field: str) -> None:
    """Forget a target."""
    _targets.pop((model, field), None)
    _forget_lookups()


def _forget_lookups() -> None:
    targets_for.cache_clear()
    dependents_of.cache_clear()


def all_targets() -> Iterator[Target]:
    yield from _targets.values()


@cache
def targets_for(model: type[models.Model]) -> tuple[Target, ...]:
    """The targets that saving a `model` may touch: its own, its parents', and for a proxy its concrete model's."""
    return tuple(target for target in _targets.values() if issubclass(model, target.model))


@dataclass(frozen=True)
class Dependent:
    """A target whose text is partly made from a related object: saving that object may change it."""

    target: Target
    # From the target's model to the related one, for filter().
    lookup: str
    # The related model, and its field (or method) that the text uses; "" if that is not known.
    model: type[models.Model]
    name: str
    # Whether the target's object goes when the related one is deleted.
    is_deleted_along: bool

    def is_touched_by(self, names: Iterable[str]) -> bool:
        """Whether a write of these fields of the related object may change the text."""
        written = _field_names(self.model, names)
        return self.name in written if self.name in _stored(self.model) else bool(written)


@cache
def dependents_of(model: type[models.Model]) -> tuple[Dependent, ...]:
    """The targets whose dotted paths lead through `model`, or whose model inherits from it by multiple tables."""
    found: list[Dependent] = []
    for target in _targets.values():
        found += _inherited(target, model)
        for path in target.names:
            *relations, name = path.split(".")
            found += [
                Dependent(target, lookup, related, (*relations, name)[depth], is_deleted_along)
                for depth, lookup, related, is_deleted_along in _steps(target.model, relations)
                if issubclass(model, related)
            ]
    return tuple(found)


def _inherited(target: Target, model: type[models.Model]) -> Iterator[Dependent]:
    """What an object that is saved as its parent, a `model`, may change of the child's text."""
    parent = model._meta.concrete_model
    if parent is None or parent not in target.model._meta.get_parent_list():
        return
    link = target.model._meta.get_ancestor_link(parent)
    assert link is not None
    used = {name.split(".")[0] for name in target.names}
    for name in [""] if target.is_computed else sorted(used & _stored(parent)):
        yield Dependent(target, link.name, parent, name, is_deleted_along=True)


def _steps(model: type[models.Model], names: Sequence[str]) -> Iterator[tuple[int, str, type[models.Model], bool]]:
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


def find(content_type_id: int, field: str, using: str) -> Target | None:
    """The target of a ledger row; None when the code no longer has its model or field."""
    try:
        model = ContentType.objects.db_manager(using).get_for_id(content_type_id).model_class()
    except ContentType.DoesNotExist:
        return None
    return None if model is None else _targets.get((model, field))


def name_of(content_type_id: int, object_id: str, using: str) -> str:
    """The object of a ledger row as messages name it: "content.Article 12"; also when the code has no such model."""
    try:
        content_type = ContentType.objects.db_manager(using).get_for_id(content_type_id)
    except ContentType.DoesNotExist:
        return f"object {object_id}"
    model = content_type.model_class()
    return f"{model._meta.label if model else '.'.join(content_type.natural_key())} {object_id}"


def get(label: str) -> list[Target]:
    """The targets that "app.model" or "app.model.field" names, any case; raises ConfigurationError if none."""
    wanted = label.lower()
    found = [t for t in _targets.values() if wanted in {t.label.lower(), t.model._meta.label_lower}]
    if not found:
        known = ", ".join(sorted(target.label for target in _targets.values())) or "none is registered"
        raise ConfigurationError(f"Nothing is embedded under {label!r}; the targets are: {known}.")
    return found
