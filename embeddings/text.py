"""From an object to the text that is embedded, and from the text to its fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from django.db import models

from embeddings.batching import estimate_tokens, truncate
from embeddings.exceptions import ConfigurationError, SourceError
from embeddings.providers import Provider, get_provider
from embeddings.registry import Target

# Between the values of several source fields.
SEPARATOR = "\n\n"


class SourceText:
    """The text of one object, ready for its provider."""

    __slots__ = ("fingerprint", "text", "tokens", "truncated")

    def __init__(self, text: str, provider: Provider) -> None:
        self.text = truncate(text, provider.max_input_tokens)
        self.truncated = len(self.text) < len(text)
        self.tokens = estimate_tokens(self.text)
        self.fingerprint = fingerprint(self.text, provider)


def fingerprint(text: str, provider: Provider) -> str:
    """64 hex digits of sha256 over the text and what turns it into a vector: the provider's model and dimensions."""
    return hashlib.sha256(f"{provider.model_id}\0{provider.dimensions}\0{text}".encode()).hexdigest()


def source_text(instance: models.Model, target: Target, provider: Provider) -> SourceText:
    """What to embed for `instance`; its text is "" when there is nothing to embed.

    Raises SourceError, naming the object and the cause, when the project's own code fails.
    """
    try:
        return SourceText(_render(instance, target), provider)
    except Exception as exc:
        raise SourceError(
            f"The source of {target.label} failed for {target.model._meta.label} {instance.pk}: "
            f"{type(exc).__name__}: {exc}"
        ) from exc


def saved_fingerprint(instance: models.Model, target: Target, saved: Iterable[str] | None = None) -> str:
    """The fingerprint of an instance just saved, or "" where making the text could cost a query or run foreign code.

    `saved` names the only fields that were written, if not all were.
    """
    if target.columns is None or not instance.get_deferred_fields().isdisjoint(target.columns):
        return ""
    if saved is not None and not set(target.columns) <= set(saved):
        return ""  # the others may differ from the row
    values = [getattr(instance, name) for name in target.columns]
    if any(hasattr(value, "resolve_expression") for value in values):
        return ""  # an F() expression: only the database knows the value
    try:
        provider = get_provider(target.provider)
    except ConfigurationError:
        return ""  # system checks and workers say so; a save does not fail for it
    return SourceText(_join(values), provider).fingerprint


def _render(instance: Any, target: Target) -> str:
    if target.when is not None:
        wanted = target.when(instance) if callable(target.when) else getattr(instance, target.when)()
        if not wanted:
            return ""
    if callable(target.source):
        return _join([target.source(instance)])
    return _join([_follow(instance, name) for name in target.names])


def _follow(instance: Any, path: str) -> Any:
    """The value of a field, a dotted path, or a method without arguments; None where a relation is empty."""
    value = instance
    for name in path.split("."):
        if value is None:
            return None
        value = getattr(value, name)
        if callable(value):
            value = value()
    return value


def _join(values: list[Any]) -> str:
    parts = (_clean(str(value)) for value in values if value is not None)
    return SEPARATOR.join(part for part in parts if part)


def _clean(text: str) -> str:
    """Without what no provider and no database takes: NUL and lone surrogates; no white space at the ends."""
    return text.replace("\0", "").encode("utf-8", "replace").decode().strip()
