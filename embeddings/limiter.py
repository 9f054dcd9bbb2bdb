"""Whether a provider may be called now: rests after a rate limit or for a quota, the circuit, a wrong configuration.

The state is one row a provider in the first of EMBEDDINGS["DATABASES"], shared by all workers and judged by the
database's clock. What operators have paused (`embeddings.pauses`) is never called.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import BooleanField, Case, DateTimeField, DurationField, ExpressionWrapper, F, Q, QuerySet, When
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Extract, Greatest, Now
from django.utils.text import capfirst

from embeddings import audit, conf, pauses
from embeddings.models import ProviderState

# Cooldown after a 429 that does not say how long to wait.
DEFAULT_COOLDOWN_SECONDS = 5.0
# Nobody is taken at his word for longer: a server's clock may be wrong, and its numbers nonsense.
LONGEST_COOLDOWN_SECONDS = 86_400.0
# What was learned of a provider longer ago may be no longer so.
MEMORY_SECONDS = 600.0


Reason = ProviderState.Reason


def open_lanes(aliases: Iterable[str]) -> list[str]:
    """Those of the providers that may be called now, in their order."""
    aliases = pauses.open_providers(aliases)
    blocked = _states().filter(alias__in=aliases).exclude(blocked_reason="")
    closed = set(blocked.exclude(_IS_OVER, blocked_reason__in=_ENDS_BY_ITSELF).values_list("alias", flat=True))
    return [alias for alias in aliases if alias not in closed]


def is_open_to_searches(alias: str) -> bool:
    """Whether a search may ask the provider once: a rate limit, which a backfill may have met, does not forbid it.

    Nor does a block whose time is over: workers probe such a provider only when they have tasks for it, which may be
    never, and the search is a probe of its own. A pause of the provider does, one of everything is about workers.
    """
    blocked = _states().filter(alias=alias, blocked_reason__in=_NEEDS_PROBE, blocked_until__gt=Now())
    return not (pauses.is_provider_paused(alias) or blocked.exists())


@dataclass(frozen=True, slots=True)
class Block:
    """Why a provider must not be called now, and for how many seconds more; 0.0: the next call may be its probe."""

    reason: str
    seconds: float


def block_of(alias: str) -> Block | None:
    """What blocks a provider, if anything does; pauses are not asked about."""
    left = Extract(ExpressionWrapper(F("blocked_until") - Now(), DurationField()), "epoch")
    states = (
        _states().filter(alias=alias).exclude(blocked_reason="").exclude(_IS_OVER, blocked_reason__in=_ENDS_BY_ITSELF)
    )
    row = states.annotate(left=left).values_list("blocked_reason", "left").first()
    return None if row is None else Block(row[0], max(0.0, float(row[1] or 0.0)))


def due_probes(aliases: Iterable[str]) -> list[str]:
    """Those of the providers with an open circuit that it is time to ping."""
    due = _states().filter(_IS_OVER, alias__in=pauses.open_providers(aliases), blocked_reason__in=_NEEDS_PROBE)
    return list(due.order_by("alias").values_list("alias", flat=True))


def take_probe(alias: str) -> bool:
    """Reserve the ping of a provider; False if another worker was quicker."""
    next_probe = Now() + timedelta(seconds=conf.current().circuit_open_seconds)
    due = _states().filter(_IS_OVER, alias=alias, blocked_reason__in=_NEEDS_PROBE)
    return due.update(blocked_until=next_probe, updated_at=Now()) == 1


_IS_OVER = Q(blocked_until__lte=Now())
_WHETHER_OVER = ExpressionWrapper(_IS_OVER, BooleanField())
_ENDS_BY_ITSELF = (Reason.RATE_LIMIT, Reason.QUOTA)
_NEEDS_PROBE = (Reason.CIRCUIT, Reason.CONFIGURATION)


def succeeded(alias: str) -> None:
    """A request was answered: the provider works."""
    troubled = _states().filter(alias=alias).exclude(blocked_reason="", failures_in_a_row=0)
    # A rest that is not over stays: the answer may be to a request sent before the 429.
    troubled = troubled.exclude(blocked_reason__in=_ENDS_BY_ITSELF, blocked_until__gt=Now())
    if troubled.exists():
        _unblock(troubled, "it answers again")


def rate_limited(alias: str, retry_after: float | None, message: str) -> datetime:
    """Cool the whole provider down; returns until when. The provider's own wish is the minimum."""
    seconds = DEFAULT_COOLDOWN_SECONDS if retry_after is None else min(retry_after, LONGEST_COOLDOWN_SECONDS)
    until = Now() + timedelta(seconds=seconds + random.uniform(0, 0.1 + seconds / 10))
    return _block(alias, Reason.RATE_LIMIT, until, message)


def wait_for_quota(alias: str, seconds: float, message: str) -> datetime:
    """Let the provider rest until its quota has refilled; returns until when."""
    seconds = min(seconds, LONGEST_COOLDOWN_SECONDS)
    return _block(alias, Reason.QUOTA, Now() + timedelta(seconds=seconds), message)


def end_wait_for_quota(alias: str) -> bool:
    """Let a provider be called at once that rests for its quota; returns whether it did. One after a 429 stands."""
    waiting = _states().filter(alias=alias, blocked_reason=Reason.QUOTA)
    return waiting.update(blocked_until=None, blocked_reason="", updated_at=Now()) == 1


def resume(alias: str, *, by: str = "") -> bool:
    """Let the provider be called at once, whatever blocks it (but a pause); returns whether anything did."""
    return _unblock(_states().filter(alias=alias).exclude(blocked_reason=""), "somebody asked for it", by)


def transient_failure(alias: str, message: str, *, retry_after: float = 0.0) -> int:
    """Count a failure of the provider, and open its circuit after several; returns how many there were in a row."""
    settings = conf.current()
    _states().get_or_create(alias=alias)
    _states().filter(alias=alias).update(
        failures_in_a_row=F("failures_in_a_row") + 1, last_error=message, updated_at=Now()
    )
    state = _states().get(alias=alias)
    if state.failures_in_a_row >= settings.circuit_failures or state.blocked_reason in _NEEDS_PROBE:
        until = Now() + timedelta(seconds=max(settings.circuit_open_seconds, retry_after))
        _block(alias, Reason.CIRCUIT, until, message)
    return state.failures_in_a_row


def misconfigured(alias: str, message: str, *, is_prolonged: bool = True) -> None:
    """Pause the provider: no request can work until somebody changes something; a probe looks from time to time.

    A pause that runs already is left alone unless `is_prolonged`: a worker that knows nothing of the provider but that
    it cannot make one must not put off the probes of those that can.
    """
    paused = _states().filter(alias=alias, blocked_until__gt=Now(), blocked_reason__in=_NEEDS_PROBE)
    if not is_prolonged and paused.exists():
        return
    until = Now() + timedelta(seconds=conf.current().circuit_open_seconds)
    _block(alias, Reason.CONFIGURATION, until, message)


def _block(alias: str, reason: str, until: CombinedExpression, message: str) -> datetime:
    """Close the provider's lane; a block that lasts longer already keeps its end.

    What ends by itself does not take the place of a circuit or a wrong configuration, which end with a probe only; nor
    our own count that of a rest that the provider has asked for.
    """
    _states().get_or_create(alias=alias)
    later = Case(
        When(Q(blocked_until__isnull=False), then=Greatest(F("blocked_until"), until)),
        default=until,
        output_field=DateTimeField(),
    )
    states = _states().filter(alias=alias)
    with transaction.atomic(using=states.db):
        before = states.annotate(is_over=_WHETHER_OVER).select_for_update().get()
        if _stands(before, reason):
            reason, message = before.blocked_reason, before.last_error
        states.update(blocked_until=later, blocked_reason=reason, last_error=message, updated_at=Now())
        if reason in _NEEDS_PROBE and reason != before.blocked_reason:
            why = f"{capfirst(Reason(reason).label)}: {message}"
            audit.record(audit.Kind.BLOCKED, why, subject=f"provider {alias}", reason=reason)
        blocked_until = states.get().blocked_until
    assert blocked_until is not None
    return blocked_until


def _stands(before: Any, reason: str) -> bool:
    """Whether the reason of the present block, which knows whether it `is_over`, is not to be replaced by this one."""
    if before.blocked_reason in _NEEDS_PROBE:
        return reason in _ENDS_BY_ITSELF
    return reason == Reason.QUOTA and before.blocked_reason == Reason.RATE_LIMIT and not before.is_over


def _unblock(states: QuerySet[ProviderState], why: str, by: str = "") -> bool:
    """Open the lane of the provider among `states`, if there is one; that a mere cooldown is over is no news."""
    with transaction.atomic(using=states.db):
        before = states.select_for_update().first()
        if before is None:
            return False
        _states().filter(pk=before.pk).update(
            blocked_until=None, blocked_reason="", failures_in_a_row=0, updated_at=Now()
        )
        if by or before.blocked_reason in _NEEDS_PROBE:
            message = f"Provider {before.alias} may be called again: {why}."
            audit.record(audit.Kind.UNBLOCKED, message, subject=f"provider {before.alias}", by=by)
    return True


def remember_in_flight(alias: str, count: int) -> None:
    """Note how many requests at once, of one worker, a provider that has just refused some may still get."""
    _states().filter(alias=alias).update(in_flight=count, in_flight_at=Now())


def remembered_in_flight(alias: str) -> int | None:
    """What was noted in the last minutes; None: nothing, it may get as many as the settings say."""
    recent = _states().filter(alias=alias, in_flight_at__gt=Now() - timedelta(seconds=MEMORY_SECONDS))
    return recent.values_list("in_flight", flat=True).first()


def known_states() -> list[ProviderState]:
    """What is known of each provider that something was wrong with."""
    return list(_states().order_by("alias"))


def _states() -> QuerySet[ProviderState]:
    return ProviderState.objects.using(conf.current().databases[0])
