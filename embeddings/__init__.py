"""Embeddings that keep themselves current. What stands here may be imported before Django's apps are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

if TYPE_CHECKING:
    from embeddings.direct import TextResult


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
