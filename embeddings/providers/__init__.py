"""The configured providers, by alias."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from embeddings import conf
from embeddings.conf import ProviderSettings
from embeddings.exceptions import ConfigurationError
from embeddings.providers.base import Embedded, Provider

__all__ = ["Embedded", "Provider", "get_provider", "get_search_provider"]


def get_provider(alias: str) -> Provider:
    """The provider configured under `alias`; raises ConfigurationError with what to change."""
    return _with_quotas(_provider(alias))


def get_search_provider(alias: str) -> Provider:
    """The provider under `alias`, made with SEARCH_TIMEOUT_SECONDS, for one who waits; raises ConfigurationError."""
    return _with_quotas(_search_provider(alias))


def _with_quotas(provider: Provider) -> Provider:
    """The provider with the quotas that are in force now; whoever has it in hand gets them too."""
    settings = conf.provider_settings(provider.alias)
    provider.requests_per_minute = settings.requests_per_minute
    provider.tokens_per_minute = settings.tokens_per_minute
    return provider


@cache
def _provider(alias: str) -> Provider:
    return _made(conf.provider_settings(alias))


@cache
def _search_provider(alias: str) -> Provider:
    settings = conf.provider_settings(alias)
    seconds = conf.current().search_timeout_seconds
    # A provider may take a time limit of its own as an option.
    shorter = {"TIMEOUT_SECONDS": seconds} if settings.options.get("TIMEOUT_SECONDS") else {}
    return _made(replace(settings, timeout_seconds=seconds, options={**settings.options, **shorter}))


def _made(settings: ProviderSettings) -> Provider:
    alias = settings.alias
    try:
        provider_class = import_string(settings.backend)
    except Exception as exc:  # Its module may raise anything.
        raise ConfigurationError(
            f"Provider {alias!r}: BACKEND {settings.backend!r} cannot be imported ({exc})."
        ) from exc
    if not (isinstance(provider_class, type) and issubclass(provider_class, Provider)):
        raise ConfigurationError(f"Provider {alias!r}: BACKEND {settings.backend!r} is not an embeddings Provider.")
    try:
        return provider_class(settings)
    except ConfigurationError:
        raise
    except Exception as exc:
        raise ConfigurationError(f"Provider {alias!r} cannot be made: {type(exc).__name__}: {exc}") from exc


@receiver(setting_changed)
def _reset(*, setting: str, **kwargs: object) -> None:
    if setting in {"EMBEDDINGS", "EMBEDDING_PROVIDERS"}:
        _provider.cache_clear()
        _search_provider.cache_clear()
