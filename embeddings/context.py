"""Who saves, and for which batch: what holds for every save of a block of code, in this thread or async task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import wraps
from inspect import iscoroutinefunction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from embeddings import conf
from embeddings.exceptions import ConfigurationError

if TYPE_CHECKING:  # A decorator may be evaluated before Django's apps are ready.
    from embeddings.models import EmbeddingBatch

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

NAME_LENGTH = 200

_is_person: ContextVar[Callable[[], bool] | None] = ContextVar("embeddings_is_person", default=None)
_batch: ContextVar[EmbeddingBatch | None] = ContextVar("embeddings_batch", default=None)


class Scope(Generic[T]):
    """A block of code under a rule: `with scope: …` once, or `@scope` on any function, plain or async."""

    def __init__(self, make: Callable[[], AbstractContextManager[T]]) -> None:
        """`make` gives a fresh context manager for each run of the block."""
        self._make = make
        self._block: AbstractContextManager[T] | None = None

    def __enter__(self) -> T:
        if self._block is not None:
            raise RuntimeError("This block is entered already; make another for each `with`.")
        self._block = self._make()
        return self._block.__enter__()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        block, self._block = self._block, None
        assert block is not None
        block.__exit__(exc_type, exc, traceback)

    def __call__(self, function: F) -> F:
        made: Any = self._around_async(function) if iscoroutinefunction(function) else self._around(function)
        return made  # type: ignore[no-any-return]

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            with self._make():
                return function(*args, **kwargs)

        return inner

    def _around_async(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(function)
        async def inner(*args: Any, **kwargs: Any) -> Any:
            with self._make():
                return await function(*args, **kwargs)

        return inner


def by_person(when: Callable[[], bool] = lambda: True) -> Scope[None]:
    """Saves inside are somebody's who waits for them: high priority, no delay. `when` is asked at each save."""
    return Scope(lambda: _acting(when))


def batch(name: str, /, *, using: str | None = None, **parameters: Any) -> Scope[EmbeddingBatch]:
    """Saves inside belong to a new EmbeddingBatch, which the block gets: `with batch("upload 7") as made`.

    The batch is of one database (default: the first of EMBEDDINGS["DATABASES"]); tasks of objects in another database
    are queued as ever, without a batch. A function so decorated makes a batch at each call. `parameters` are kept
    with the batch, as JSON.
    """
    if not name or len(name) > NAME_LENGTH:
        raise ValueError(f"The name of a batch has 1 to {NAME_LENGTH} characters, not {len(name)}.")
    return Scope(lambda: _batching(name, using, parameters))


def is_person() -> bool:
    """Whether a save made now is a person's."""
    when = _is_person.get()
    return when is not None and when()


def batch_id(using: str) -> int | None:
    """The batch to which a save to this database belongs now."""
    present = _batch.get()
    return present.pk if present is not None and present._state.db == using else None


@contextmanager
def _acting(when: Callable[[], bool]) -> Iterator[None]:
    token = _is_person.set(when)
    try:
        yield
    finally:
        _is_person.reset(token)


@contextmanager
def _batching(name: str, using: str | None, parameters: dict[str, Any]) -> Iterator[EmbeddingBatch]:
    from embeddings.models import EmbeddingBatch

    databases = conf.current().databases
    if using is not None and using not in databases:
        raise ConfigurationError(f"EMBEDDINGS['DATABASES'] has no {using!r}; it has {', '.join(databases)}.")
    made = EmbeddingBatch.objects.using(using or databases[0]).create(name=name, parameters=parameters)
    token = _batch.set(made)
    try:
        yield made
    finally:
        _batch.reset(token)
