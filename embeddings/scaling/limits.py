"""Whether a provider is what limits the work: then more workers would only wait beside those that wait already."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from embeddings import conf, limiter, pauses, quotas, stats
from embeddings.exceptions import ConfigurationError
from embeddings.models import ProviderState

# Of a quota that is used up there is always a little left, less than one request more.
USED_UP = 0.9
# So many of the requests of this minute and the last told to slow down: the provider sets the pace.
MANY_RATE_LIMITED = 0.05

Reason = ProviderState.Reason
_RESTS = {Reason.RATE_LIMIT: "has asked to slow down", Reason.QUOTA: "has used up its quota"}
_BROKEN = {Reason.CIRCUIT: "fails", Reason.CONFIGURATION: "refuses every request"}


def limits(aliases: list[str]) -> dict[str, str]:
    """{alias: why more workers would not help}, "" where they would; to be read after "but"."""
    states = {state.alias: state for state in limiter.known_states()}
    now = timezone.now()
    return {alias: _limit(alias, states.get(alias), now) for alias in aliases}


def _limit(alias: str, state: ProviderState | None, now: datetime) -> str:
    if pauses.is_everything_paused():
        return "everything is paused"
    if pauses.is_provider_paused(alias):
        return f"provider {alias} is paused"
    return _blocked(alias, state, now) or _used_up(alias) or _rate_limited(alias)


def _blocked(alias: str, state: ProviderState | None, now: datetime) -> str:
    if state is None or not state.blocked_reason:
        return ""
    reason = Reason(state.blocked_reason)
    if reason in _BROKEN:
        return f"provider {alias} {_BROKEN[reason]}"
    is_over = state.blocked_until is None or state.blocked_until <= now
    return "" if is_over else f"provider {alias} {_RESTS[reason]}"


def _used_up(alias: str) -> str:
    try:
        usage = quotas.usage(conf.provider_settings(alias)) or {}
    except ConfigurationError:  # Workers find out, and say so.
        return ""
    for name, (used, quota) in usage.items():
        if used >= USED_UP * quota:
            return f"provider {alias} has used {used:,} of the {quota:,} {name} of its quota of a minute"
    return ""


def _rate_limited(alias: str) -> str:
    traffic = stats.provider_traffic(alias, hours=2 / 60, points=1)
    requests = traffic.completed + traffic.failed
    if not requests or traffic.rate_limited < MANY_RATE_LIMITED * requests:
        return ""
    return f"provider {alias} has told {traffic.rate_limited:,} of the last {requests:,} requests to slow down"
