"""What a provider's account may use in a minute, in requests and in tokens, shared by all workers and machines.

The counts are on Redis. While Redis is away each worker keeps to its share of the quotas, as far as it knows by itself
what has been used: in the minute in which Redis goes, or comes back empty, all together may use up to twice a quota;
at all other times what one bucket of a minute's quota that refills evenly would let through, as OpenAI counts.
"""

from __future__ import annotations

from embeddings import conf
from embeddings.conf import ProviderSettings
from embeddings.providers import Provider
from embeddings.quotas import local, shared
from embeddings.quotas.callers import take_call
from embeddings.quotas.waits import Use, per_window, seconds_to_wait

__all__ = ["correct", "request_tokens", "seconds_to_wait", "spend", "take", "take_call", "usage"]

# A request holds at most this part of a window's tokens: what refills in a second, for which a worker can wait with
# its tasks in hand. And what is left over of a window, less than one more request, is little.
_REQUESTS_IN_A_WINDOW = 60


def take(provider: Provider, tokens: int) -> float:
    """Use one request and so many (estimated) tokens of the provider's quotas.

    Returns 0.0 if they were free, else the seconds after which to ask again; nothing is used then. A request of more
    tokens than the whole quota costs the whole quota. Raises DatabaseError only while Redis is away: the shares are by
    the number of workers that the database knows.
    """
    uses = _uses(provider, requests=1, tokens=tokens)
    if not uses:
        return 0.0
    wait = shared.attempt(lambda: shared.take(uses))
    if wait is None:
        return local.take(uses)
    if not wait:
        local.spend(uses)  # so that a fall-over in the middle of a minute does not start from nothing
    return wait


def spend(provider: Provider, tokens: int) -> None:
    """Use one request and so many tokens, free or not: a ping. Never raises."""
    _spend(_uses(provider, requests=1, tokens=tokens))


def correct(provider: Provider, estimated: int, actual: int | None) -> None:
    """Use what the provider counted beyond the estimate that `take` was given. Never raises, never waits for free ones.

    What it counted less is not given back: OpenAI limits by an estimate of its own, which is like ours.
    """
    if actual is not None:
        _spend(_uses(provider, requests=0, tokens=actual - estimated))


def request_tokens(provider: Provider) -> int:
    """The most tokens that a request should hold: the provider's limit, or less if only so the quotas are used up.

    Not so few, however, that the requests would be used up before the tokens.
    """
    if provider.tokens_per_minute is None:
        return provider.max_request_tokens
    tokens = per_window(provider.tokens_per_minute)
    wanted = tokens // _REQUESTS_IN_A_WINDOW
    if provider.requests_per_minute is not None:
        wanted = max(wanted, tokens // per_window(provider.requests_per_minute))
    return max(1, min(provider.max_request_tokens, wanted))


def usage(provider: ProviderSettings) -> dict[str, tuple[int, int]] | None:
    """{"requests" or "tokens": (used within the last minute, quota of a minute)} of the quotas that there are.

    None while Redis, which counts for all workers, is away. Never raises.
    """
    uses = _uses(provider, requests=1, tokens=1)
    used = shared.attempt(lambda: [shared.used(use) for use in uses]) if uses else []
    if used is None:
        return None
    return {use.key.rpartition("/")[2]: (count, use.limit) for use, count in zip(uses, used, strict=True)}


def _spend(uses: list[Use]) -> None:
    if uses:
        local.spend(uses)
        shared.attempt(lambda: shared.spend(uses))


def _uses(provider: Provider | ProviderSettings, *, requests: int, tokens: int) -> list[Use]:
    """What is used of the quotas that the provider has. Tokens first: they are what mostly runs out."""
    asked = [("tokens", provider.tokens_per_minute, tokens), ("requests", provider.requests_per_minute, requests)]
    place = f"{conf.current().queue}/{provider.alias}"  # of one project among those that share a Redis
    return [
        Use(f"{place}/{name}", limit := per_window(per_minute), min(cost, limit))
        for name, per_minute, cost in asked
        if per_minute is not None and cost > 0
    ]
