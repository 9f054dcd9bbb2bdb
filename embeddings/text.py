"""From an object to the text that is embedded, and from the text to its fingerprint."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, OperationalError, connections, models

from embeddings.batching import estimate_tokens, truncate
from embeddings.chunking import pieces
from embeddings.derived import names_of
from embeddings.exceptions import SourceError
from embeddings.providers import Provider, get_provider
from embeddings.registry import Derived, Source, Splitting, Target

T = TypeVar("T")

# Between the values of several source fields.
SEPARATOR = "\n\n"
# Python could write these down, but not as anybody's text: a set in another order in each process, an iterator by its
# address.
_NOT_TEXT = (bytes, bytearray, memoryview, list, tuple, dict, set, frozenset, Iterator, Awaitable)
# Unicode's general categories of characters that show nothing: white space, control and format characters.
_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})


class SourceText:
    """The text of one object, ready for its provider."""

    __slots__ = ("fingerprint", "text", "tokens", "truncated")

    def __init__(self, text: str, provider: Provider) -> None:
        self.text = truncate(text, provider.max_input_tokens)
        self.truncated = len(self.text) < len(text)
        self.tokens = estimate_tokens(self.text)
        self.fingerprint = fingerprint(self.text, provider)


class LongText:
    """The text of one object, ready to be split; what it has to say to all its chunks; the sum of both."""

    __slots__ = ("context", "fingerprint", "text")

    def __init__(self, text: str, context: str, splitting: Splitting) -> None:
        self.text = text
        # It must leave the chunk most of the room.
        self.context = truncate(context, splitting.tokens)
        made_by = f"{pieces.version()}\0{splitting.tokens}\0{splitting.overlap}"
        self.fingerprint = hashlib.sha256(f"{made_by}\0{self.context}\0{text}".encode()).hexdigest()


def fingerprint(text: str, provider: Provider) -> str:
    """64 hex digits of sha256 over the text and what turns it into a vector: the provider's model and dimensions."""
    return hashlib.sha256(f"{provider.model_id}\0{provider.dimensions}\0{text}".encode()).hexdigest()


def source_text(instance: models.Model, target: Target, provider: Provider) -> SourceText:
    """What to embed for `instance`; its text is "" when there is nothing to embed.

    Raises SourceError, naming the object and the cause, when the project's own code fails; and the database's error as
    it is where that says nothing of the object, or has ended the caller's transaction.
    """
    return _blamed(instance, target, lambda: SourceText(_render(instance, target), provider))


def long_text(instance: models.Model, splitting: Splitting) -> LongText:
    """What to split of `instance`; its text is "" when there is nothing. Raises as `source_text` does.

    A text from one source is as it is there, white space and all, so that offsets in it are good in both.
    """
    return _blamed(instance, splitting, lambda: _long_text(instance, splitting))


def _blamed(instance: models.Model, target: Derived, make: Callable[[], T]) -> T:
    key = instance.pk  # A source may delete it.
    try:
        return make()
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as exc:  # sys.exit() and Rust's panics too: they would end the worker, again and again
        where = f"{target.name_of(key)}: the source of {target.label} failed"
        if isinstance(exc, Error) and _is_callers_concern(exc, instance):
            exc.add_note(where)
            raise
        raise SourceError(f"{where}: {_described(exc)}") from exc


def _is_callers_concern(exc: Error, instance: models.Model) -> bool:
    """Whether the database is away or busy, or no statement works any more in the open transaction."""
    connection = connections[instance._state.db or DEFAULT_DB_ALIAS]
    return isinstance(exc, OperationalError | InterfaceError) or connection.in_atomic_block


def _described(exc: BaseException) -> str:
    message = str(exc)
    if isinstance(exc, Error):
        message = message.partition("\n")[0]  # the lines below quote the row
    return f"{type(exc).__name__}: {message}" if message else type(exc).__name__


def saved_fingerprint(instance: models.Model, target: Derived, saved: Iterable[str] | None = None) -> str:
    """The fingerprint of an instance just saved, or "" where making the text could cost a query or run foreign code.

    `saved` names the only fields that were written, if not all were. No save fails for its text: if that cannot be
    made, a worker will say so.
    """
    if target.columns is None or not instance.get_deferred_fields().isdisjoint(target.columns):
        return ""
    if saved is not None and not set(target.columns) <= set(saved):
        return ""  # the others may differ from the row
    values = [getattr(instance, name) for name in target.columns]
    if any(hasattr(value, "resolve_expression") for value in values):
        return ""  # an F() expression: only the database knows the value
    try:
        if isinstance(target, Splitting):
            return long_text(instance, target).fingerprint
        return SourceText(_join(values), get_provider(target.provider)).fingerprint
    except Exception:
        return ""


def _render(instance: Any, target: Derived) -> str:
    return _join(_values(instance, target.source)) if _is_wanted(instance, target) else ""


def _long_text(instance: Any, splitting: Splitting) -> LongText:
    if not _is_wanted(instance, splitting):
        return LongText("", "", splitting)
    values = _values(instance, splitting.source)
    texts = (_storable(_text(value)) for value in values if value is not None)
    text = SEPARATOR.join(text for text in texts if clean(text))
    context = [] if splitting.context is None or not text else _values(instance, splitting.context)
    return LongText(text, _join(context), splitting)


def _is_wanted(instance: Any, target: Derived) -> bool:
    if target.when is None:
        return True
    return bool(target.when(instance) if callable(target.when) else getattr(instance, target.when)())


def _values(instance: Any, source: Source) -> list[Any]:
    if callable(source):
        return [source(instance)]
    return [_follow(instance, name) for name in names_of(source)]


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
    parts = (clean(_text(value)) for value in values if value is not None)
    return SEPARATOR.join(part for part in parts if part)


def _text(value: Any) -> str:
    """Numbers, dates, related objects and the like as they show themselves."""
    kind: Any = type(value)
    is_mute = kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__
    if is_mute or isinstance(value, _NOT_TEXT):
        raise TypeError(f"it gives {kind.__name__}, not text; let a method return a str.")
    return str(value)


def clean(text: str) -> str:
    """Without what no provider and no database takes: NUL and lone surrogates; no white space at the ends.

    A text in which nothing can be seen (zero-width characters only) is no text.
    """
    clean = _storable(text).strip()
    if clean[:1].isalnum():
        return clean
    return clean if any(unicodedata.category(character) not in _INVISIBLE for character in clean) else ""


def _storable(text: str) -> str:
    text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
