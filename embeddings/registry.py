"""Which model fields are embedded, from which text, by whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
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
        own = {field.name: field for field in self.model._meta.local_concrete_fields}
        if not all(name in own and not own[name].is_relation for name in self.names):
            return None
        return self.names

    @cached_property
    def relations(self) -> tuple[str, ...]:
        """The forward relations of dotted paths, for select_related."""
        paths = (list(_steps(self.model, name.split(".")[:-1])) for name in self.names)
        return tuple(steps[-1][1] for steps in paths if steps)

    @property
    def vector_field(self) -> Any:
        return self.model._meta.get_field(self.field)

    def is_touched_by(self, names: Iterable[str]) -> bool:
        """Whether a write of these fields (names or attnames) may change the text."""
        written = _field_names(self.model, names) - {self.field}
        if self.columns is not None:
            return not written.isdisjoint(self.columns)
        if callable(self.source) or self.when is not None or self._calls_a_method:
            return bool(written)
        return not written.isdisjoint(name.split(".")[0] for name in self.names)

    @cached_property
    def _calls_a_method(self) -> bool:
        fields = {field.name for field in self.model._meta.get_fields()}
        return any(name.split(".")[0] not in fields for name in self.names)

    def content_type_id(self, using: str) -> int:
        return ContentType.objects.db_manager(using).get_for_model(self.model).pk

    def object_id(self, instance: models.Model) -> str:
        """The ledger's key of `instance`, also when it is a child or a proxy of `model`."""
        return str(instance._get_pk_val(self.model._meta))


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
        model=model,
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
    # The related object's field (or method) that the text uses.
    name: str


@cache
def dependents_of(model: type[models.Model]) -> tuple[Dependent, ...]:
    """The targets whose dotted paths lead through `model`."""
    found = []
    for target in _targets.values():
        for path in target.names:
            *relations, name = path.split(".")
            found += [
                Dependent(target, lookup, (*relations, name)[depth])
                for depth, lookup, related in _steps(target.model, relations)
                if issubclass(model, related)
            ]
    return tuple(found)


def _steps(model: type[models.Model], names: Sequence[str]) -> Iterator[tuple[int, str, type[models.Model]]]:
    """(depth, lookup, model) of each forward relation along `names`."""
    current = model
    for depth, name in enumerate(names, 1):
        try:
            field: Any = current._meta.get_field(name)
        except FieldDoesNotExist:
            return
        if not (field.is_relation and (field.many_to_one or field.one_to_one) and field.related_model):
            return
        current = field.related_model
        yield depth, "__".join(names[:depth]), current


def find(content_type_id: int, field: str, using: str) -> Target | None:
    """The target of a ledger row; None when the code no longer has its model or field."""
    model = ContentType.objects.db_manager(using).get_for_id(content_type_id).model_class()
    return None if model is None else _targets.get((model, field))


def get(label: str) -> list[Target]:
    """The targets that "app.model" or "app.model.field" names, any case; raises ConfigurationError if none."""
    wanted = label.lower()
    found = [t for t in _targets.values() if wanted in {t.label.lower(), t.model._meta.label_lower}]
    if not found:
        known = ", ".join(sorted(target.label for target in _targets.values())) or "none is registered"
        raise ConfigurationError(f"Nothing is embedded under {label!r}; the targets are: {known}.")
    return found
