"""The EMBEDDING_PROVIDERS setting, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from embeddings.conf.options import configured
from embeddings.exceptions import ConfigurationError

DEFAULT_PROVIDER = "default"
_QUOTA_KEYS = ("REQUESTS_PER_MINUTE", "TOKENS_PER_MINUTE")
_PROVIDER_KEYS = {"BACKEND", "MODEL", "DIMENSIONS", "OPTIONS", *_QUOTA_KEYS}


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One entry of EMBEDDING_PROVIDERS, typed."""

    alias: str
    backend: str
    model_id: str
    dimensions: int
    options: Mapping[str, Any] = field(default_factory=dict)
    timeout_seconds: float = 60.0
    # What the provider's account may use, all workers together; None is no limit.
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


def provider_aliases() -> list[str]:
    """The keys of EMBEDDING_PROVIDERS."""
    given = getattr(settings, "EMBEDDING_PROVIDERS", {})
    if not isinstance(given, Mapping):
        raise ConfigurationError("EMBEDDING_PROVIDERS must be a dict of alias to settings.")
    return list(given)


@cache
def configured_provider(alias: str) -> ProviderSettings:
    """The entry of EMBEDDING_PROVIDERS; raises ConfigurationError with what to change."""
    if alias not in provider_aliases():
        raise ConfigurationError(f"EMBEDDING_PROVIDERS has no {alias!r}; add it, or use one of {provider_aliases()}.")
    given = settings.EMBEDDING_PROVIDERS[alias]
    where = f"EMBEDDING_PROVIDERS[{alias!r}]"
    unknown = sorted(set(given) - _PROVIDER_KEYS)
    if unknown:
        raise ConfigurationError(f"{where} has no key {unknown[0]!r}; it takes {', '.join(sorted(_PROVIDER_KEYS))}.")
    for key in ("BACKEND", "MODEL"):
        if not isinstance(given.get(key), str) or not given[key]:
            raise ConfigurationError(f"{where} needs {key}, a string.")
    dimensions = given.get("DIMENSIONS")
    if isinstance(dimensions, bool) or not isinstance(dimensions, int) or not 1 <= dimensions <= 16_000:
        raise ConfigurationError(f"{where} needs DIMENSIONS, a whole number from 1 to 16,000, not {dimensions!r}.")
    if not isinstance(given.get("OPTIONS", {}), Mapping):
        raise ConfigurationError(f"{where}: OPTIONS must be a dict.")
    for key in _QUOTA_KEYS:
        quota = given.get(key)
        if quota is not None and (isinstance(quota, bool) or not isinstance(quota, int) or quota < 1):
            raise ConfigurationError(f"{where}: {key} must be a whole number of at least 1, or None, not {quota!r}.")
    return ProviderSettings(
        alias=alias,
        backend=given["BACKEND"],
        model_id=given["MODEL"],
        dimensions=dimensions,
        options=given.get("OPTIONS", {}),
        timeout_seconds=configured().request_timeout_seconds,
        requests_per_minute=given.get("REQUESTS_PER_MINUTE"),
        tokens_per_minute=given.get("TOKENS_PER_MINUTE"),
    )


@receiver(setting_changed)
def _reset(*, setting: str, **kwargs: object) -> None:
    if setting in {"EMBEDDINGS", "EMBEDDING_PROVIDERS"}:
        configured_provider.cache_clear()
