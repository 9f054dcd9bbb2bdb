"""What becomes of a request that gave no vectors: its tasks wait, go back or fail, or its texts are sent again.

The error's class says what to do. Where it does not say whether the texts or the provider are to blame, a ping does
(`calling.call`): if the provider answers that, the request is to blame, and an attempt is charged. If not, nothing is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from embeddings import conf, ledger, limiter
from embeddings.backoff import retry_delay
from embeddings.batching import halve
from embeddings.exceptions import InputRejected, InputTooLong, ProviderMisconfigured, RateLimited, TransientError
from embeddings.failure import Failure
from embeddings.pipeline.calling import Answer, Pong
from embeddings.pipeline.intake import ProviderRequest

logger = logging.getLogger(__name__)

# A text that a provider finds too long is halved at most so often before it counts as refused.
MAX_CUTS = 4

# Removes and returns the other requests that are ready for the same provider.
TakeOthers = Callable[[], list[ProviderRequest]]


@dataclass(slots=True)
class Remedy:
    """What was done: counts of tasks, and the requests to send in place of the one that failed."""

    failed: int = 0
    rate_limited: int = 0
    again: list[ProviderRequest] = field(default_factory=list)


def remedy(answer: Answer, take_others: TakeOthers) -> Remedy:
    """Act on an error. `take_others` is called if the provider is not to be called for now."""
    request, error, pong = answer.request, answer.error, answer.pong
    assert error is not None
    if isinstance(error, RateLimited):
        return _cool_down(request, error, take_others)
    if pong is None or pong.error is None:
        limiter.succeeded(request.provider.alias)
        is_sure = isinstance(error, InputRejected | ProviderMisconfigured)
        return _isolate(request, error) if is_sure else _retry_later(request, error)
    if isinstance(pong.error, RateLimited):
        return _cool_down(request, pong.error, take_others)
    return _wait_for_provider(request, pong.error, take_others)


def learn(pong: Pong) -> None:
    """Open or close a provider's circuit after a probe."""
    alias = pong.provider.alias
    match pong.error:
        case None:
            limiter.succeeded(alias)
        case RateLimited() as error:
            limiter.succeeded(alias)  # It works, and has enough for now.
            limiter.rate_limited(alias, error.retry_after, str(error))
        case ProviderMisconfigured() as error:
            limiter.misconfigured(alias, str(error))
        case error:
            limiter.transient_failure(alias, Failure.of(error).message, retry_after=_wish(error))


def release(requests: Iterable[ProviderRequest]) -> None:
    """Give the tasks of requests back as they were."""
    for request in requests:
        ledger.release(request.claims, using=request.using)


def _cool_down(request: ProviderRequest, error: RateLimited, take_others: TakeOthers) -> Remedy:
    """The whole provider cools down; what is ready for it waits together and in order."""
    done = Remedy()
    until = limiter.rate_limited(request.provider.alias, error.retry_after, str(error))
    logger.info("The provider has asked to slow down, until %s.", until, extra={"provider": request.provider.alias})
    for deferred in [request, *take_others()]:
        done.rate_limited += ledger.defer(deferred.claims, until, Failure.of(error), using=deferred.using)
    return done


def _wait_for_provider(request: ProviderRequest, error: Exception, take_others: TakeOthers) -> Remedy:
    """Nothing is charged. Once the circuit is open the tasks are as they were; until then each waits a little."""
    alias = request.provider.alias
    if isinstance(error, ProviderMisconfigured):
        limiter.misconfigured(alias, str(error))
        return _give_back(request, take_others)
    failure = Failure.of(error)
    failures = limiter.transient_failure(alias, failure.message, retry_after=_wish(error))
    if not limiter.open_lanes([alias]):
        return _give_back(request, take_others)
    ledger.postpone(request.claims, failure, seconds=_delay(failures, error), using=request.using)
    return Remedy()


def _give_back(request: ProviderRequest, take_others: TakeOthers) -> Remedy:
    release([request, *take_others()])
    return Remedy()


def _isolate(request: ProviderRequest, error: Exception) -> Remedy:
    """Halve the request down to the guilty text; only that one fails, at once."""
    if len(request.texts) > 1:
        return Remedy(again=_halves(request))
    if isinstance(error, InputTooLong) and request.cuts < MAX_CUTS:
        return Remedy(again=[_cut(request)])
    return Remedy(failed=_fail(request, error, is_final=True))


def _retry_later(request: ProviderRequest, error: Exception) -> Remedy:
    """Charge an attempt. Before it would be the last, the request is halved: a text may be the cause."""
    is_last = any(claim.attempts >= conf.current().max_attempts for claim in request.claims)
    if is_last and len(request.texts) > 1:
        return Remedy(again=_halves(request))
    return Remedy(failed=_fail(request, error, is_final=False))


def _halves(request: ProviderRequest) -> list[ProviderRequest]:
    middle = len(halve(request.texts)[0])
    return [request.part(0, middle), request.part(middle, len(request.texts))]


def _cut(request: ProviderRequest) -> ProviderRequest:
    text = request.texts[0][: len(request.texts[0]) // 2]
    return ProviderRequest(request.provider, request.using, (text,), request.items, request.cuts + 1)


def _fail(request: ProviderRequest, error: Exception, *, is_final: bool) -> int:
    if len(request.texts) > 1:
        failure = Failure.of(error, private=request.texts)
        return ledger.fail(request.claims, failure, is_final=is_final, using=request.using)
    failed = 0
    for item in request.items[0]:
        failure = Failure.of(error, about=item.name, private=request.texts)
        failed += ledger.fail([item.claim], failure, is_final=is_final, using=request.using)
    return failed


def _delay(failures: int, error: Exception) -> float:
    """Seconds before the next try after so many failures of a provider in a row."""
    settings = conf.current()
    own = retry_delay(failures, base_seconds=settings.backoff_base_seconds, cap_seconds=settings.backoff_cap_seconds)
    return max(own, _wish(error))


def _wish(error: Exception) -> float:
    """The seconds that the provider itself asked to be left alone."""
    wish = (isinstance(error, TransientError) and error.retry_after) or 0.0
    return min(wish, limiter.LONGEST_COOLDOWN_SECONDS)
