"""Every text that is split into chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.core import checks
from django.core.checks import CheckMessage, Error, Tags
from django.db import models

from embeddings import registry
from embeddings.checks.targets import check_database_of, check_key, check_options, check_source, check_source_type
from embeddings.chunking import pieces
from embeddings.chunking.rows import COLUMNS
from embeddings.exceptions import ConfigurationError
from embeddings.providers import get_provider
from embeddings.registry import Splitting


@checks.register(Tags.models)
def check_chunking(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Every text that is split into chunks, and the model of its chunks."""
    splittings = list(registry.all_splittings())
    found = [message for splitting in splittings for check in _CHECKS for message in check(splitting)]
    return [*found, *(_check_splitter() if splittings else ())]


def _check_splitter() -> Iterator[CheckMessage]:
    if not pieces.is_installed():
        yield Error("Long texts cannot be split into chunks.", hint=f"Run: {pieces.INSTALL}", id="embeddings.E030")


def _check_chunk_model(splitting: Splitting) -> Iterator[CheckMessage]:
    found = splitting.parent_fields()
    if not found:
        yield Error(
            f"{splitting.label} has no model for its chunks.",
            hint=f"Add a subclass of embeddings.chunks.Chunk with a ForeignKey to {splitting.model._meta.label}.",
            obj=splitting.model,
            id="embeddings.E031",
        )
    elif len(found) > 1:
        names = ", ".join(f"{field.model._meta.label}.{field.name}" for field in found)
        yield Error(
            f"{splitting.label} has several foreign keys of chunk models to choose from: {names}.",
            hint="Keep one, and make the others relations of models that are no chunks.",
            obj=splitting.model,
            id="embeddings.E031",
        )


def _check_parent_key(splitting: Splitting) -> Iterator[CheckMessage]:
    for field in splitting.parent_fields():
        if field.target_field is not splitting.model._meta.pk:
            yield Error(
                f"{field.model._meta.label}.{field.name} does not refer to the primary key of "
                f"{splitting.model._meta.label}, by which chunks are looked for.",
                hint="Remove to_field from the foreign key.",
                obj=field.model,
                id="embeddings.E036",
            )


def _check_unique(splitting: Splitting) -> Iterator[CheckMessage]:
    for field in splitting.parent_fields():
        for names in _unique_row_by_row(field.model):
            if not set(COLUMNS).isdisjoint(names):
                yield Error(
                    f"{field.model._meta.label} has {', '.join(names)} unique at every moment, but chunks that move "
                    f"take each other's places.",
                    hint="Use a UniqueConstraint with deferrable=Deferrable.DEFERRED.",
                    obj=field.model,
                    id="embeddings.E037",
                )


def _unique_row_by_row(model: type[models.Model]) -> Iterator[Sequence[str]]:
    """The fields of what PostgreSQL checks at each row that a statement writes, not at its end."""
    yield from model._meta.unique_together
    for constraint in model._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint) and constraint.deferrable is None:
            yield constraint.fields


def _check_is_only(splitting: Splitting) -> Iterator[CheckMessage]:
    others = [other for other in registry.splittings_for(splitting.model) if other is not splitting]
    if others:
        yield Error(
            f"{splitting.label} and {others[0].label} are split into the same chunks.",
            hint="Declare one Chunking; its source may name several fields.",
            obj=splitting.model,
            id="embeddings.E032",
        )


def _check_chunks_are_embedded(splitting: Splitting) -> Iterator[CheckMessage]:
    for field in splitting.parent_fields():
        if not registry.targets_for(field.model):
            yield Error(
                f"{field.model._meta.label} has no EmbeddingField, so its chunks would never be found.",
                hint='Add: embedding = EmbeddingField(source=["context", "text"])',
                obj=field.model,
                id="embeddings.E033",
            )


def _check_size(splitting: Splitting) -> Iterator[CheckMessage]:
    tokens, overlap = splitting.tokens, splitting.overlap
    if not (isinstance(tokens, int) and isinstance(overlap, int) and 0 <= overlap < tokens):
        yield Error(
            f"{splitting.label} needs tokens of 1 or more, and an overlap of 0 or more that is less than tokens.",
            hint="Edit the Chunking, for example: tokens=256, overlap=32.",
            obj=splitting.model,
            id="embeddings.E034",
        )
        return
    for field in splitting.parent_fields():
        for target in registry.targets_for(field.model):
            yield from _check_fits(splitting, target)


def _check_fits(splitting: Splitting, target: registry.Target) -> Iterator[CheckMessage]:
    try:
        most = get_provider(target.provider).max_input_tokens
    except ConfigurationError:
        return  # E002 or E005 says so
    if splitting.tokens > most:
        yield Error(
            f"{splitting.label} makes chunks of {splitting.tokens} tokens; the provider {target.provider!r} of "
            f"{target.label} takes {most}.",
            hint=f"Set tokens={most} or less; leave room for the context.",
            obj=splitting.model,
            id="embeddings.E035",
        )


_CHECKS = (
    _check_chunk_model,
    _check_parent_key,
    _check_unique,
    _check_is_only,
    _check_chunks_are_embedded,
    _check_size,
    check_source,
    check_source_type,
    check_options,
    check_database_of,
    check_key,
)
