"""Requests to providers, made in threads: no database here."""

from __future__ import annotations

import contextvars
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from embeddings import conf, logs
from embeddings.exceptions import InputRejected, ProviderError, ProviderMisconfigured, RateLimited, TransientError
from embeddings.pipeline.intake import Effect, ProviderRequest, Settlement
from embeddings.providers import Embedded, Provider

T = TypeVar("T")
R = TypeVar("R")

# Providers pinged at once; there is one ping a provider, and a thread only where there is one.
MAX_PINGS = 32
# Threads for requests; they are made as they are needed. How many there may be is for `in_flight` to say.
MAX_REQUESTS = 1_000


@dataclass(frozen=True, slots=True)
class Pong:
    """What a ping got: nothing went wrong, or an exception; after how many seconds."""

    provider: Provider
    seconds: float
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got: vectors or an exception, after how many seconds.

    After an exception that may say something of the provider and not of the texts, `pong` tells which it is.
    """

    request: ProviderRequest
    seconds: float
    embedded: Embedded | None = None
    error: Exception | None = None
    pong: Pong | None = None

    def settlements(self) -> list[Settlement]:
        """One an item; the tokens that were paid are shared out by estimate, equal texts paid for once."""
        assert self.embedded is not None
        paid = self.embedded.tokens
        estimated = self.request.tokens
        settlements = []
        for same, vector in zip(self.request.items, self.embedded.vectors, strict=True):
            for copy, item in enumerate(same):
                tokens = None if paid is None else 0 if copy else round(paid * item.text.tokens / estimated)
                is_cut = self.request.cuts > 0
                settlements.append(Settlement(item, Effect.WRITE, vector, tokens, truncated=is_cut))
        return settlements


class Calls:
    """The calls of one drain that are in flight, each on a thread."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(MAX_REQUESTS, thread_name_prefix="embed")
        # A ping has a thread of its own: one that hangs takes no request's place.
        self._pinging = ThreadPoolExecutor(MAX_PINGS, thread_name_prefix="ping")
        self._requests: dict[Future[Answer], ProviderRequest] = {}
        self._pings: dict[Future[Pong], str] = {}

    def __bool__(self) -> bool:
        return bool(self._requests or self._pings)

    @property
    def has_room(self) -> bool:
        """Whether fewer are in flight than CONCURRENCY, which may be another than a moment ago, allows."""
        return len(self._requests) < min(conf.current().concurrency, MAX_REQUESTS)

    def in_flight(self, alias: str) -> int:
        """How many requests to a provider are without an answer, with the one whose answer is being handled."""
        return sum(request.provider.alias == alias for request in self._requests.values())

    @property
    def requests(self) -> list[ProviderRequest]:
        """Those without an answer, and the one whose answer is being handled."""
        return list(self._requests.values())

    @property
    def pinged(self) -> set[str]:
        """The aliases of the providers that have a ping to answer."""
        return set(self._pings.values())

    def send(self, request: ProviderRequest) -> None:
        self._requests[self._pool.submit(_with_context(call), request)] = request

    def ping(self, provider: Provider) -> None:
        self._pings[self._pinging.submit(_with_context(ping), provider)] = provider.alias

    def wait(self, seconds: float) -> Iterator[Answer | Pong]:
        """The answers that come within so many seconds: the first, and all that have come until it is handled."""
        in_flight: list[Future[Any]] = [*self._requests, *self._pings]
        wait(in_flight, seconds, FIRST_COMPLETED)
        while done := [future for future in self._requests if future.done()]:
            for answered in done:
                yield answered.result()
                del self._requests[answered]
        for echoed in [future for future in self._pings if future.done()]:
            del self._pings[echoed]
            yield echoed.result()

    def end(self) -> None:
        """Let go of the threads without waiting for them."""
        for pool in (self._pool, self._pinging):
            pool.shutdown(wait=False, cancel_futures=True)


def _with_context(function: Callable[[T], R]) -> Callable[[T], R]:
    """For another thread: what is bound here (`embeddings.logs`) is bound there."""
    context = contextvars.copy_context()
    return lambda argument: context.run(function, argument)


def call(request: ProviderRequest) -> Answer:
    """Ask the provider and check what it returns. Never raises."""
    with logs.bound(provider=request.provider.alias, request=request.number):
        return _call(request)


def _call(request: ProviderRequest) -> Answer:
    started = time.monotonic()
    provider = request.provider
    try:
        embedded = _ask(lambda: provider.embed(request.texts))
    except (RateLimited, InputRejected) as exc:  # these say themselves whom they are about
        return Answer(request, time.monotonic() - started, error=exc)
    except Exception as exc:
        return Answer(request, time.monotonic() - started, error=exc, pong=ping(provider))
    seconds = time.monotonic() - started
    try:
        _check(embedded, len(request.texts), provider)
    except Exception as exc:  # for this text only, or for all?
        return Answer(request, seconds, error=exc, pong=ping(provider))
    return Answer(request, seconds, embedded=_with_countable_tokens(embedded))


def ask(provider: Provider, texts: Sequence[str]) -> Embedded:
    """Ask the provider here and now, and check what it returns. Raises a ProviderError."""
    try:
        embedded = _ask(lambda: provider.embed(texts))
        _check(embedded, len(texts), provider)
    except ProviderError:
        raise
    except Exception as exc:
        raise TransientError(f"The provider raised {type(exc).__name__}.") from exc
    return _with_countable_tokens(embedded)


def _ask(question: Callable[[], Embedded]) -> Embedded:
    """A provider's code must not end the worker, whatever it raises: sys.exit(), a cancelled coroutine, Rust's panic.

    Signals do not come to this thread.
    """
    try:
        return question()
    except Exception:
        raise
    except BaseException as exc:
        raise TransientError(f"The provider raised {type(exc).__name__}.") from exc


def ping(provider: Provider) -> Pong:
    """Ask the provider for one harmless vector. Never raises."""
    started = time.monotonic()
    try:
        answer = _ask(provider.ping)
    except InputRejected:
        return Pong(provider, time.monotonic() - started)  # an answer, though a strange one
    except Exception as exc:
        return Pong(provider, time.monotonic() - started, exc)
    try:
        _check(answer, 1, provider)
    except Exception as exc:
        return Pong(provider, time.monotonic() - started, exc)
    return Pong(provider, time.monotonic() - started)


def _check(embedded: Any, inputs: int, provider: Provider) -> None:
    """Refuse what must not reach a column, whichever provider made it."""
    if not isinstance(embedded, Embedded) or not isinstance(embedded.vectors, Sized):
        returned = embedded.vectors if isinstance(embedded, Embedded) else embedded
        raise ProviderMisconfigured(
            f"{type(provider).__name__} returned {type(returned).__name__} where it should return vectors."
        )
    if len(embedded.vectors) != inputs:
        raise TransientError(f"The provider returned {len(embedded.vectors)} vectors for {inputs} texts.")
    for vector in embedded.vectors:
        if not isinstance(vector, Collection):
            raise InputRejected(f"The provider returned {type(vector).__name__} as the vector of this text.")
        if len(vector) != provider.dimensions:
            raise ProviderMisconfigured(
                f"{provider.model_id} returns {len(vector)} dimensions, but DIMENSIONS of provider "
                f"{provider.alias!r} is {provider.dimensions}; change one of them."
            )
        if not _is_finite(vector):
            raise InputRejected("The provider returned a vector with NaN, infinity or no numbers for this text.")


def _with_countable_tokens(embedded: Embedded) -> Embedded:
    """Without a count that no column can hold: a vector is not lost for a nonsensical bill."""
    tokens: Any = embedded.tokens
    is_count = tokens is None or (type(tokens) is int and 0 <= tokens < 2**31)
    return embedded if is_count else replace(embedded, tokens=None)


def _is_finite(vector: Any) -> bool:
    """Whether the sum is: numbers that any column takes do not add up to infinity."""
    try:
        # An array's own sum takes a fifth of the time.
        total = vector.sum(dtype="float64") if getattr(vector, "ndim", 0) == 1 else math.fsum(vector)
        return math.isfinite(total)
    except (OverflowError, ValueError, TypeError):  # too large for any column; infinities of both signs; no numbers
        return False
