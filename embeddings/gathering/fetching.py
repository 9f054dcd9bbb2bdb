"""One caller's requests to a provider: several at once, each recorded, each answer kept as it comes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from embeddings import batching, conf, immediate, kept, limiter, metrics, quotas
from embeddings.exceptions import InputRejected, ProviderError, RateLimited
from embeddings.failure import Failure
from embeddings.gathering.way import Way
from embeddings.kept import Kept
from embeddings.pipeline import calling, remedies
from embeddings.providers import Embedded, Provider
from embeddings.text import SourceText


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got, vectors or an error, after how many seconds."""

    embedded: Embedded | None
    error: ProviderError | None
    seconds: float


class Fetch:
    """Afterwards `made` has the vectors by fingerprint, `error` what went wrong first, `guilty` the text that did."""

    def __init__(self, provider: Provider) -> None:
        self.made: dict[str, Kept] = {}
        self.error: ProviderError | None = None
        self.guilty: SourceText | None = None
        self._provider = provider
        self._way = Way(provider)
        self._ready: deque[Sequence[SourceText]] = deque()
        self._flying: dict[Future[Answer], Sequence[SourceText]] = {}
        # Requests at once: one where it is a probe, until it is answered.
        self._room = 1

    def run(self, sources: Sequence[SourceText]) -> None:
        """Ask for distinct texts. After an error nothing more is sent, and what is on its way is waited for."""
        self._ready.extend(_requests(sources, self._provider))
        most = min(conf.current().concurrency, len(self._ready) + 1)
        try:
            self._room = 1 if self._way.open() else most
        except ProviderError as exc:
            self._stop(exc)
        with ThreadPoolExecutor(most, "embed-texts") as pool:
            while self._ready or self._flying:
                pause_seconds = self._send(pool)
                self._receive(pause_seconds)
                self._room = most if self.made else self._room
        metrics.hand_over_after_commit()

    def _send(self, pool: ThreadPoolExecutor) -> float | None:
        """Send what may be sent; returns after how many seconds to ask again for a quota, if it is for want of one."""
        while self._ready and len(self._flying) < self._room:
            try:
                seconds = self._way.seconds_to_wait(_tokens(self._ready[0]))
            except ProviderError as exc:
                self._stop(exc)
                return None
            if seconds:
                return seconds
            group = self._ready.popleft()
            self._flying[pool.submit(_call, self._provider, [source.text for source in group])] = group
        return None

    def _receive(self, seconds: float | None) -> None:
        """Settle what has been answered; waits for the first answer, or so long."""
        if not self._flying:
            time.sleep(seconds or 0.0)
            return
        answered, _ = wait(self._flying, timeout=seconds, return_when=FIRST_COMPLETED)
        for future in answered:
            group, answer = self._flying.pop(future), future.result()
            self._record(group, answer)
            if answer.embedded is not None:
                self._take(group, answer.embedded)
            elif answer.error is not None:
                self._react(group, answer.error)

    def _take(self, group: Sequence[SourceText], embedded: Embedded) -> None:
        limiter.succeeded(self._provider.alias)
        quotas.correct(self._provider, estimated=_tokens(group), actual=embedded.tokens)
        try:
            vectors = [kept.packed(vector) for vector in embedded.vectors]
        except OverflowError:
            self._react(group, InputRejected("The provider returned a number that is too large for a vector."))
            return
        shares = zip(group, vectors, _shared_out(embedded.tokens, group), strict=True)
        made = {source.fingerprint: Kept(vector, tokens) for source, vector, tokens in shares}
        kept.keep(made)
        self.made |= made

    def _react(self, group: Sequence[SourceText], error: ProviderError) -> None:
        if isinstance(error, InputRejected) and len(group) > 1:
            # Halved down to the first guilty text, so that the others' vectors are made and kept.
            self._ready.extendleft([] if self.error else batching.halve(group)[::-1])
            return
        if isinstance(error, RateLimited):
            limiter.rate_limited(self._provider.alias, error.retry_after, str(error))
        elif not isinstance(error, InputRejected) and self.error is None:
            self._look_after_provider()
        self._stop(error, group[0] if isinstance(error, InputRejected) else None)

    def _look_after_provider(self) -> None:
        """A ping says whether the provider is to blame: then its circuit opens after some failures, as for workers."""
        quotas.spend(self._provider, 1)
        remedies.learn(calling.ping(self._provider))

    def _stop(self, error: ProviderError, guilty: SourceText | None = None) -> None:
        if self.error is None:
            self.error, self.guilty = error, guilty
        self._ready.clear()

    def _record(self, group: Sequence[SourceText], answer: Answer) -> None:
        metrics.record_call(
            self._provider,
            inputs=len(group),
            tokens=answer.embedded.tokens if answer.embedded else None,
            seconds=answer.seconds,
            outcome=Failure.of(answer.error).kind if answer.error else "ok",
            worker=immediate.WORKER,
        )


def _requests(sources: Sequence[SourceText], provider: Provider) -> list[list[SourceText]]:
    """Within the provider's limits, as workers' are."""
    groups = batching.split(
        ((source, source.tokens) for source in sources),
        max_inputs=min(provider.max_inputs, conf.current().batch_size),
        max_tokens=quotas.request_tokens(provider),
    )
    return list(groups)


def _call(provider: Provider, texts: Sequence[str]) -> Answer:
    """On a thread of its own: no database here. Never raises."""
    started = time.monotonic()
    try:
        embedded = calling.ask(provider, texts)
    except ProviderError as exc:
        return Answer(None, exc, time.monotonic() - started)
    return Answer(embedded, None, time.monotonic() - started)


def _tokens(group: Sequence[SourceText]) -> int:
    """The estimate for its texts."""
    return sum(source.tokens for source in group)


def _shared_out(paid: int | None, group: Sequence[SourceText]) -> list[int]:
    """The tokens that were paid, shared out by estimate so that their sum is right; the estimates, if none is known."""
    estimated = _tokens(group)
    total = estimated if paid is None else paid
    shares, seen, given = [], 0, 0
    for source in group:
        seen += source.tokens
        shares.append(total * seen // estimated - given)
        given += shares[-1]
    return shares
