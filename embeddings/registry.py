"""Which model fields are embedded, and which texts split into chunks; from which source, by whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeVar

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.dispatch import Signal

from embeddings.conf import DEFAULT_PROVIDER
from embeddings.derived import Derived, Predicate, Source, field_names, steps, stored
from embeddings.exceptions import ConfigurationError
from embeddings.models import Priority

# The provider of tasks that need none: the lane of the texts that are to be split.
NO_PROVIDER = ""
# What marks the subclasses of `chunks.Chunk`.
CHUNK_MARK = "_embeddings_is_chunk"

__all__ = ["CHUNK_MARK", "NO_PROVIDER", "Derived", "Predicate", "Source", "Splitting", "Target"]

D = TypeVar("D", bound=Derived)


@dataclass(frozen=True, eq=False)
class Target(Derived):
    """One embedded model field. `model` is the concrete model whose table has the column."""

    @property
    def vector_field(self) -> Any:
        return self.model._meta.get_field(self.field)


@dataclass(frozen=True, eq=False)
class Splitting(Derived):
    """One long text of a model, the parent, whose chunks are kept current in the table of a chunk model."""

    provider: str = NO_PROVIDER
    # Repeated in every chunk.
    context: Source | None = None
    # The size of a chunk, and what two chunks have in common at most.
    tokens: int = 256
    overlap: int = 32

    @property
    def sources(self) -> tuple[Source, ...]:
        return (self.source,) if self.context is None else (self.source, self.context)

    def parent_fields(self) -> list[Any]:
        """The foreign keys of chunk models to the parent; there should be one."""
        return [
            field
            for model in apps.get_models()
            if getattr(model, CHUNK_MARK, False)
            for field in model._meta.local_concrete_fields
            if field.is_relation and field.related_model and field.related_model._meta.concrete_model is self.model
        ]

    @cached_property
    def parent_field(self) -> Any:
        """The foreign key of the chunk model to the parent; raises ConfigurationError unless there is one."""
        found = self.parent_fields()
        if len(found) != 1:
            raise ConfigurationError(f"{self.label} needs one chunk model with a foreign key to it, not {len(found)}.")
        return found[0]

    @property
    def chunk_model(self) -> type[models.Model]:
        model: type[models.Model] = self.parent_field.model
        return model

    def chunks_of(self, parents: Iterable[Any], using: str) -> models.QuerySet[Any]:
        """The chunks of these parents: keys or instances."""
        chunks = self.chunk_model._base_manager.using(using)
        return chunks.filter(**{f"{self.parent_field.name}__in": list(parents)})


_targets: dict[tuple[type[models.Model], str], Derived] = {}

# Sent with `target` when one, or a splitting, is registered.
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


def add(target: Derived) -> None:
    """Register a target or a splitting; the same model and field again replaces it."""
    _targets[(target.model, target.field)] = target
    _forget_lookups()
    target_added.send(sender=target.model, target=target)


def remove(model: type[models.Model], field: str) -> None:
    """Forget a target."""
    _targets.pop((model, field), None)
    _forget_lookups()


def _forget_lookups() -> None:
    derived_for.cache_clear()
    dependents_of.cache_clear()


def all_derived() -> Iterator[Derived]:
    """The targets and the splittings."""
    yield from _targets.values()


def all_targets() -> Iterator[Target]:
    yield from _only(Target, _targets.values())


def all_splittings() -> Iterator[Splitting]:
    yield from _only(Splitting, _targets.values())


@cache
def derived_for(model: type[models.Model]) -> tuple[Derived, ...]:
    """What saving a `model` may touch: its own, its parents', and for a proxy its concrete model's."""
    return tuple(target for target in _targets.values() if issubclass(model, target.model))


def targets_for(model: type[models.Model]) -> tuple[Target, ...]:
    """The targets that saving a `model` may touch."""
    return tuple(_only(Target, derived_for(model)))


def splittings_for(model: type[models.Model]) -> tuple[Splitting, ...]:
    """The splittings that saving a `model` may touch."""
    return tuple(_only(Splitting, derived_for(model)))


def _only(kind: type[D], found: Iterable[Derived]) -> Iterator[D]:
    return (each for each in found if isinstance(each, kind))


@dataclass(frozen=True)
class Dependent:
    """A target or splitting whose text is partly made from a related object: saving that object may change it."""

    target: Derived
    # From the target's model to the related one, for filter().
    lookup: str
    # The related model, and its field (or method) that the text uses; "" if that is not known.
    model: type[models.Model]
    name: str
    # Whether the target's object goes when the related one is deleted.
    is_deleted_along: bool

    def is_touched_by(self, names: Iterable[str]) -> bool:
        """Whether a write of these fields of the related object may change the text."""
        written = field_names(self.model, names)
        return self.name in written if self.name in stored(self.model) else bool(written)


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
                for depth, lookup, related, is_deleted_along in steps(target.model, relations)
                if issubclass(model, related)
            ]
    return tuple(found)


def _inherited(target: Derived, model: type[models.Model]) -> Iterator[Dependent]:
    """What an object that is saved as its parent, a `model`, may change of the child's text."""
    parent = model._meta.concrete_model
    if parent is None or parent not in target.model._meta.get_parent_list():
        return
    link = target.model._meta.get_ancestor_link(parent)
    assert link is not None
    used = {name.split(".")[0] for name in target.names}
    for name in [""] if target.is_computed else sorted(used & stored(parent)):
        yield Dependent(target, link.name, parent, name, is_deleted_along=True)


def find(content_type_id: int, field: str, using: str) -> Derived | None:
    """The target or splitting of a ledger row; None when the code no longer has its model or field."""
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


def get(label: str) -> list[Derived]:
    """What is derived under "app.model" or "app.model.field", any case; raises ConfigurationError if nothing is."""
    wanted = label.lower()
    found = [t for t in _targets.values() if wanted in {t.label.lower(), t.model._meta.label_lower}]
    if not found:
        known = ", ".join(sorted(target.label for target in _targets.values())) or "none is registered"
        raise ConfigurationError(f"Nothing is embedded under {label!r}; the targets are: {known}.")
    return found
