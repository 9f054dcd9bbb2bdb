"""A provider as the API shows it: whether it may be called, why not, and what of its quotas is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from embeddings import conf, limiter, pauses, quotas
from embeddings.conf import ProviderSettings
from embeddings.exceptions import ConfigurationError
from embeddings.models import Pause, ProviderState
from embeddings.stats.wording import shortened

AVAILABLE, PAUSED, UNUSABLE = "available", "paused", "unusable"
MEANING = {
    ProviderState.Reason.RATE_LIMIT: "It asked to slow down; its tasks go on by themselves.",
    ProviderState.Reason.QUOTA: "Its quota is used up for now; its tasks go on by themselves.",
    ProviderState.Reason.CIRCUIT: "It failed several times in a row; it is asked again from time to time.",
    ProviderState.Reason.CONFIGURATION: "It refuses every request: correct EMBEDDING_PROVIDERS, restart the workers.",
}


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider: of the settings, or one that is not in them any more."""

    alias: str
    state: str
    meaning: str
    until: datetime | None = None
    model_id: str | None = None
    dimensions: int | None = None
    failures_in_a_row: int = 0
    last_error: str = ""
    quota: dict[str, dict[str, int]] | None = None


class EmbeddingQuotaSerializer(serializers.Serializer[Any]):
    """One quota of a minute."""

    used = serializers.IntegerField(help_text="Within the last minute, by all processes together.")
    limit = serializers.IntegerField()


class EmbeddingProviderSerializer(serializers.Serializer[Provider]):
    """Whether a provider may be called now, and what is known of it. Never its options, which may be keys."""

    alias = serializers.CharField()
    modelId = serializers.CharField(source="model_id", allow_null=True, help_text="Null if the settings do not say.")
    dimensions = serializers.IntegerField(allow_null=True)
    state = serializers.CharField(
        help_text=(
            "`available`, `paused` (by an operator), `rate_limit`, `quota`, `circuit`, `configuration`, or `unusable` "
            "(its settings are wrong or gone)."
        )
    )
    meaning = serializers.CharField(help_text="What that means, in a sentence.")
    until = serializers.DateTimeField(
        allow_null=True, help_text="When the pause ends, or when it is tried again; null: unknown, or now."
    )
    failuresInARow = serializers.IntegerField(source="failures_in_a_row")
    lastError = serializers.CharField(source="last_error", help_text="Without keys and texts; empty if there was none.")
    quota = serializers.DictField(
        child=EmbeddingQuotaSerializer(),
        allow_null=True,
        help_text="Of `requests` and `tokens`, those that have a limit. Null while Redis, which counts, is away.",
    )


def providers() -> list[Provider]:
    """Those of EMBEDDING_PROVIDERS in their order, then those with a state that are not configured any more."""
    states = {state.alias: state for state in limiter.known_states()}
    in_force = list(pauses.in_force())
    aliases = list(dict.fromkeys([*conf.provider_aliases(), *states]))
    return [_provider(states.get(alias) or ProviderState(alias=alias), in_force) for alias in aliases]


def _provider(state: ProviderState, in_force: Sequence[Pause]) -> Provider:
    settings, problem = _settings(state.alias)
    word, meaning, until = _standing(state, problem, in_force)
    return Provider(
        alias=state.alias,
        state=word,
        meaning=meaning,
        until=until,
        model_id=settings.model_id if settings else None,
        dimensions=settings.dimensions if settings else None,
        failures_in_a_row=state.failures_in_a_row,
        last_error=state.last_error,
        quota=_quota(settings) if settings else None,
    )


def _settings(alias: str) -> tuple[ProviderSettings | None, str]:
    """What is in force, or what is wrong with it."""
    try:
        return conf.provider_settings(alias), ""
    except ConfigurationError as exc:
        return None, str(exc)


def _standing(state: ProviderState, problem: str, in_force: Sequence[Pause]) -> tuple[str, str, datetime | None]:
    """A word, a sentence, and until when."""
    pause = next((one for one in in_force if (one.kind, one.name) == (Pause.Kind.PROVIDER, state.alias)), None)
    if pause:
        by = f" by {pause.by}" if pause.by else ""
        return PAUSED, f"It was paused{by}, {pauses.until(pause)}: {shortened(pause.reason)}", pause.ends_at
    if problem:
        return UNUSABLE, problem, None
    if not state.blocked_reason:
        return AVAILABLE, "It may be called.", None
    is_ahead = state.blocked_until is not None and state.blocked_until > timezone.now()
    until = state.blocked_until if is_ahead else None
    return state.blocked_reason, MEANING[ProviderState.Reason(state.blocked_reason)], until


def _quota(settings: ProviderSettings) -> dict[str, dict[str, int]] | None:
    used = quotas.usage(settings)
    if used is None:
        return None
    return {name: {"used": count, "limit": limit} for name, (count, limit) in used.items()}
