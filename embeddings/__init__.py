"""Embeddings that keep themselves current. What stands here may be imported before Django's apps are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from embeddings.context import Scope
    from embeddings.direct import TextResult
    from embeddings.models import EmbeddingBatch


def by_person() -> Scope[None]:
    """Saves inside this block, or decorated function, are somebody's who waits: high priority, no delay."""
    from embeddings import context

    return context.by_person()


def batch(name: str, /, *, using: str | None = None, **parameters: Any) -> Scope[EmbeddingBatch]:
    """Saves inside this block, or decorated function, belong to a new EmbeddingBatch, which the block gets.

    It is of one database, `using` (default: the first of EMBEDDINGS["DATABASES"]); `parameters` are kept with it.
    """
    from embeddings import context

    return context.batch(name, using=using, **parameters)


@overload
def embed(text: str, *, immediate: Literal[True]) -> list[float]: ...
@overload
def embed(text: str, *, immediate: Literal[False] = False) -> int: ...
def embed(text: str, *, immediate: bool = False) -> list[float] | int:
    """The vector of a text that belongs to no object, or the id of the task that makes it in the background.

    `immediate` asks the default provider in this process, and raises its error.
    """
    from embeddings import direct

    return direct.embed_now(text) if immediate else direct.embed_later(text)


def result(task_id: int) -> TextResult:
    """What became of a text that is embedded in the background: `.status`, `.vector` (or None) and `.error`."""
    from embeddings import direct

    return direct.result(task_id)
