"""Which tasks a drain takes next."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

from embeddings import conf, ledger, limiter
from embeddings.exceptions import ConfigurationError
from embeddings.ledger import Claim
from embeddings.limiter import Lane
from embeddings.providers import get_provider


def open_lanes() -> list[Lane]:
    """The configured providers that may be called now. Those that cannot be made at all are paused."""
    if not conf.current().enabled:
        return []
    working = []
    for alias in conf.provider_aliases():
        try:
            get_provider(alias)
        except ConfigurationError as exc:
            limiter.misconfigured(alias, str(exc))
        else:
            working.append(alias)
    return limiter.open_lanes(working)


def suspects(lanes: Sequence[Lane], *, worker: str) -> tuple[list[Claim], str]:
    """Tasks that were in hand at deaths of workers, of one provider, and their database; none if there are none."""
    settings = conf.current()
    for using in settings.databases:
        for lane in lanes:
            for crashes in range(1, settings.max_crashes):
                limit = 1 if lane.is_probe else suspects_at_once(crashes)
                claims = ledger.claim(lane.alias, limit, worker=worker, crashes=crashes, using=using)
                if claims:
                    return claims, using
    return [], ""


def suspects_at_once(crashes: int) -> int:
    """How many tasks that were in hand at so many deaths of workers may be taken together.

    The square root of `batch_size` after one death, then one, so that the last death allowed singles out one task.
    """
    settings = conf.current()
    return math.isqrt(settings.batch_size) if crashes == 1 and settings.max_crashes > 2 else 1


def next_batches(lanes: Sequence[Lane], *, busy: Collection[str], worker: str) -> Iterator[tuple[list[Claim], str]]:
    """The most urgent tasks of each provider, and their database. `busy` are the providers with tasks in hand."""
    settings = conf.current()
    for using in settings.databases:
        for lane in lanes:
            if lane.is_probe and lane.alias in busy:
                continue
            limit = 1 if lane.is_probe else settings.batch_size
            yield ledger.claim(lane.alias, limit, worker=worker, using=using), using
