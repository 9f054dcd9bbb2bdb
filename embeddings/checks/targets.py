"""Every embedded field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.postgres.search import SearchVectorField
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, Warning
from django.core.exceptions import FieldDoesNotExist
from django.db import models, router

from embeddings import conf, registry
from embeddings.exceptions import ConfigurationError
from embeddings.models import DirectText, Priority
from embeddings.registry import Derived, Target
from embeddings.search.words import words_field

# An index of more dimensions cannot be built (pgvector README, "HNSW").
MAX_INDEXED = {False: 2_000, True: 4_000}
# Fields whose values Python would write down as code.
_NOT_TEXT = {"ArrayField", "BinaryField", "HStoreField", "JSONField", "VectorField"}
# The length of EmbeddingTask.object_id.
MAX_KEY = 255


@checks.register(Tags.models)
def check_targets(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Every embedded field."""
    found: list[CheckMessage] = []
    for target in registry.all_targets():
        for check in _TARGET_CHECKS:
            found += check(target)
    return found


def _check_provider_of(target: Target) -> Iterator[CheckMessage]:
    if target.provider not in conf.provider_aliases():
        yield Error(
            f"{target.label} is embedded by provider {target.provider!r}, which EMBEDDING_PROVIDERS does not have.",
            hint=f"Add it there, or use one of: {', '.join(conf.provider_aliases()) or 'none yet'}.",
            obj=target.model,
            id="embeddings.E005",
        )


def _check_dimensions(target: Target) -> Iterator[CheckMessage]:
    field = target.vector_field
    dimensions = getattr(field, "dimensions", None)
    try:
        wanted = conf.provider_settings(target.provider).dimensions
    except ConfigurationError:
        return
    if dimensions is not None and dimensions != wanted:
        yield Error(
            f"{target.label} has {dimensions} dimensions, but its provider {target.provider!r} makes {wanted}.",
            hint=f"Set dimensions={wanted} and migrate, or change DIMENSIONS of the provider.",
            obj=target.model,
            id="embeddings.E006",
        )
    half = bool(getattr(field, "half", False))
    if dimensions is not None and dimensions > MAX_INDEXED[half]:
        yield Warning(
            f"{target.label} has {dimensions} dimensions; an HNSW index takes {MAX_INDEXED[half]:,} at most.",
            hint="Use half=True (up to 4,000), or fewer dimensions." if not half else "Use fewer dimensions.",
            obj=target.model,
            id="embeddings.W007",
        )


def check_source(target: Derived) -> Iterator[CheckMessage]:
    """Names of sources that lead nowhere."""
    names = [*target.names, *([target.when] if isinstance(target.when, str) else [])]
    if not names and not callable(target.source):
        names = [""]
    for name in names:
        if not _leads_somewhere(target.model, name.split(".")):
            yield Error(
                f"{target.label} has the source {name!r}, which {target.model._meta.label} does not have.",
                hint="Use names of fields, dotted paths through foreign keys, a method's name, or a callable.",
                obj=target.model,
                id="embeddings.E008",
            )


def check_source_type(target: Derived) -> Iterator[CheckMessage]:
    """Sources that are no text."""
    for field in (target.model._meta.get_field(name) for name in target.columns or ()):
        if field.get_internal_type() in _NOT_TEXT:
            yield Error(
                f"{target.label} has the source {field.name!r}, a {type(field).__name__}, whose values are not text.",
                hint="Use a method that makes a str of it.",
                obj=target.model,
                id="embeddings.E018",
            )


def _leads_somewhere(model: type[models.Model], names: Sequence[str]) -> bool:
    first, *rest = names
    try:
        field: Any = model._meta.get_field(first)
    except FieldDoesNotExist:
        return hasattr(model, first)
    if not rest:
        return True
    return not field.is_relation or (field.related_model and _leads_somewhere(field.related_model, rest))


def check_options(target: Derived) -> Iterator[CheckMessage]:
    """Priority and delay."""
    if target.priority not in Priority.values or target.delay_seconds < 0:
        yield Error(
            f"{target.label} needs a priority of {', '.join(Priority.values)} and a delay of 0 or more seconds.",
            hint="Edit the EmbeddingField, or the Chunking.",
            obj=target.model,
            id="embeddings.E009",
        )


def check_database_of(target: Derived) -> Iterator[CheckMessage]:
    """A table where no worker looks."""
    try:
        databases = conf.current().databases
    except ConfigurationError:
        return
    if target.model is DirectText:
        return  # Wherever a router would have them, they are in the first of these.
    using = router.db_for_write(target.model)
    if using not in databases:
        yield Error(
            f"{target.label} is stored in database {using!r}, where no worker looks for tasks.",
            hint=f'Add {using!r} to EMBEDDINGS["DATABASES"], and run: manage.py migrate embeddings --database {using}',
            obj=target.model,
            id="embeddings.E010",
        )


def check_key(target: Derived) -> Iterator[CheckMessage]:
    """Primary keys that do not fit into a task."""
    key = target.key_field
    if isinstance(key, models.TextField | models.CharField) and not (key.max_length or 256) <= MAX_KEY:
        yield Error(
            f"The primary key of {target.model._meta.label} may be longer than the {MAX_KEY} characters of a task's.",
            hint=f"Give the key max_length={MAX_KEY} or less, or embed a model with another key.",
            obj=target.model,
            id="embeddings.E015",
        )


def _check_words(target: Target) -> Iterator[CheckMessage]:
    name = words_field(target)
    try:
        is_one = not name or isinstance(_output_field(target.model._meta.get_field(name)), SearchVectorField)
    except FieldDoesNotExist:
        is_one = False
    if not is_one:
        yield Error(
            f"{target.label} has words={name!r}, which is no SearchVectorField of {target.model._meta.label}.",
            hint='Name one, such as: GeneratedField(expression=SearchVector("title", config="english"), '
            "output_field=SearchVectorField(), db_persist=True)",
            obj=target.model,
            id="embeddings.E040",
        )


def _output_field(field: Any) -> Any:
    """Of a GeneratedField, what it gives."""
    return getattr(field, "output_field", field)


_TARGET_CHECKS = (
    _check_provider_of,
    _check_dimensions,
    check_source,
    check_source_type,
    check_options,
    check_database_of,
    check_key,
    _check_words,
)
