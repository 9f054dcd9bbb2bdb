"""Which tasks a drain takes next."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from embeddings import conf, ledger, limiter, pauses
from embeddings.exceptions import ConfigurationError
from embeddings.ledger import Claim
from embeddings.providers import get_provider
from embeddings.registry import NO_PROVIDER

# Texts are split by the thread that also settles: answers wait no longer for it than for this many.
SPLITS_AT_ONCE = 16


def working_providers() -> list[str]:
    """The configured providers; those that cannot be made at all are paused and left out. None with the app off."""
    if not conf.current().enabled:
        return []
    working = []
    for alias in conf.provider_aliases():
        try:
            get_provider(alias)
        except ConfigurationError as exc:
            limiter.misconfigured(alias, str(exc), is_prolonged=False)
        else:
            working.append(alias)
    return working


def suspects(lanes: Sequence[str], *, worker: str) -> tuple[list[Claim], str]:
    """Tasks that were in hand at deaths of workers, of one provider, and their database; none if there are none."""
    for using in conf.current().databases:
        for alias in lanes:
            claims = ledger.claim(alias, suspects_at_once(), worker=worker, crashes=1, using=using)
            claims = claims or ledger.claim(alias, 1, worker=worker, crashes=2, or_more=True, using=using)
            if claims:
                return claims, using
    return [], ""


def suspects_at_once() -> int:
    """How many tasks that were in hand at one death may be taken together; after another, each is taken alone.

    The square root of `batch_size`: two deaths single out one task of a batch, and all further ones are at it alone.
    """
    settings = conf.current()
    return math.isqrt(settings.batch_size) if settings.max_crashes > 2 else 1


def lanes_with(providers: Iterable[str]) -> list[str]:
    """What to claim for: texts to split first, which gives the providers something to do.

    None with the app off, or everything paused.
    """
    is_open = conf.current().enabled and not pauses.is_everything_paused()
    return [NO_PROVIDER, *providers] if is_open else []


def limit(lane: str) -> int:
    """How many tasks of a lane are claimed at once."""
    return SPLITS_AT_ONCE if lane == NO_PROVIDER else conf.current().batch_size


def next_batches(lanes: Sequence[str], *, worker: str) -> Iterator[tuple[list[Claim], str]]:
    """The most urgent tasks of each lane, and their database."""
    for using in conf.current().databases:
        for alias in lanes:
            yield ledger.claim(alias, limit(alias), worker=worker, using=using), using
