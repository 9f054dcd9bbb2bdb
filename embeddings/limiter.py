"""Whether a provider may be called now: cooldowns after a rate limit, the circuit, pauses after a wrong configuration.

The state is one row a provider in the first of EMBEDDINGS["DATABASES"], shared by all workers and judged by the
database's clock.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, DateTimeField, F, Q, QuerySet, Value, When
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Greatest, Now

from embeddings import conf
from embeddings.models import ProviderState

# Cooldown after a 429 that does not say how long to wait.
DEFAULT_COOLDOWN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Lane:
    """A provider that may be called. `is_probe`: one task is to show whether it works again."""

    alias: str
    is_probe: bool


def open_lanes(aliases: Iterable[str]) -> list[Lane]:
    """The providers among `aliases` that may be called now."""
    lanes = {alias: Lane(alias, is_probe=False) for alias in aliases}
    blocked = _states().filter(alias__in=lanes).exclude(blocked_reason="").annotate(is_over=_IS_OVER)
    for alias, reason, is_over in blocked.values_list("alias", "blocked_reason", "is_over"):
        if not is_over:
            del lanes[alias]
        elif reason != ProviderState.Reason.RATE_LIMIT:
            lanes[alias] = Lane(alias, is_probe=True)
    return list(lanes.values())


_IS_OVER = Case(When(blocked_until__lte=Now(), then=Value(True)), default=Value(False))


def succeeded(alias: str) -> None:
    """A request was answered: the provider works."""
    troubled = _states().filter(alias=alias).exclude(blocked_reason="", failures_in_a_row=0)
    # A cooldown that still runs stays: the answer may be to a request sent before the 429.
    troubled.exclude(blocked_reason=ProviderState.Reason.RATE_LIMIT, blocked_until__gt=Now()).update(
        blocked_until=None, blocked_reason="", failures_in_a_row=0, updated_at=Now()
    )


def rate_limited(alias: str, retry_after: float | None, message: str) -> datetime:
    """Cool the whole provider down; returns until when. The provider's own wish is the minimum."""
    seconds = DEFAULT_COOLDOWN_SECONDS if retry_after is None else retry_after
    until = Now() + timedelta(seconds=seconds + random.uniform(0, 0.1 + seconds / 10))
    state = _block(alias, ProviderState.Reason.RATE_LIMIT, until, message)
    assert state.blocked_until is not None
    return state.blocked_until


def transient_failure(alias: str, message: str) -> bool:
    """Count a failure; returns whether the provider's circuit is open now (so nothing is to be charged)."""
    settings = conf.current()
    _states().get_or_create(alias=alias)
    _states().filter(alias=alias).update(
        failures_in_a_row=F("failures_in_a_row") + 1, last_error=message, updated_at=Now()
    )
    state = _states().get(alias=alias)
    is_open = state.blocked_reason in {ProviderState.Reason.CIRCUIT, ProviderState.Reason.CONFIGURATION}
    if state.failures_in_a_row < settings.circuit_failures and not is_open:
        return False
    until = Now() + timedelta(seconds=settings.circuit_open_seconds)
    _block(alias, ProviderState.Reason.CIRCUIT, until, message)
    return True


def misconfigured(alias: str, message: str) -> None:
    """Pause the provider: no request can work until somebody changes something; a probe looks from time to time."""
    until = Now() + timedelta(seconds=conf.current().circuit_open_seconds)
    _block(alias, ProviderState.Reason.CONFIGURATION, until, message)


def _block(alias: str, reason: str, until: CombinedExpression, message: str) -> ProviderState:
    _states().get_or_create(alias=alias)
    later = Case(
        When(Q(blocked_until__isnull=False), then=Greatest(F("blocked_until"), until)),
        default=until,
        output_field=DateTimeField(),
    )
    _states().filter(alias=alias).update(
        blocked_until=later, blocked_reason=reason, last_error=message, updated_at=Now()
    )
    return _states().get(alias=alias)


def _states() -> QuerySet[ProviderState]:
    return ProviderState.objects.using(conf.current().databases[0])
