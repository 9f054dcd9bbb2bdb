"""The configured providers, by alias."""

from __future__ import annotations

from functools import cache

from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from embeddings import conf
from embeddings.exceptions import ConfigurationError
from embeddings.providers.base import Embedded, Provider

__all__ = ["Embedded", "Provider", "get_provider"]


@cache
def get_provider(alias: str) -> Provider:
    """The provider configured under `alias`; raises ConfigurationError with what to change."""
    settings = conf.provider_settings(alias)
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
        get_provider.cache_clear()
