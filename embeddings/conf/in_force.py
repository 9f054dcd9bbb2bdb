"""What is in force: what the settings say, and over it what operators have changed while the processes run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import receiver

from embeddings.conf.options import EmbeddingSettings, configured, key_of, valid
from embeddings.conf.providers import ProviderSettings, configured_provider

# What `override` was given last, as (name, value) pairs and as (alias, pairs): values that a cache can be asked by, so
# that no thread can leave an old answer behind.
_Pairs = tuple[tuple[str, Any], ...]
_values: _Pairs = ()
_quotas: tuple[tuple[str, _Pairs], ...] = ()


def current() -> EmbeddingSettings:
    """What is in force; the same object until something changes. Raises ConfigurationError as `configured` does."""
    return _overridden(_values)


def override(values: Mapping[str, Any], quotas: Mapping[str, Mapping[str, int | None]]) -> bool:
    """Put live settings, {name: value}, over EMBEDDINGS, and quotas, {alias: {name: value}}, over EMBEDDING_PROVIDERS.

    They take the place of those given before; None leaves what the settings say. The names are fields of
    EmbeddingSettings and ProviderSettings, and "head_start_<priority>_seconds". Returns whether anything is different
    now. Raises ConfigurationError, and changes nothing, for a value that could not stand in EMBEDDINGS.
    """
    global _values, _quotas
    given = _pairs(values)
    _overridden(given)
    before = _values, _quotas
    _values, _quotas = given, tuple((alias, pairs) for alias in sorted(quotas) if (pairs := _pairs(quotas[alias])))
    return before != (_values, _quotas)


def _pairs(values: Mapping[str, Any]) -> _Pairs:
    return tuple((name, value) for name, value in sorted(values.items()) if value is not None)


@lru_cache(maxsize=2)
def _overridden(values: _Pairs) -> EmbeddingSettings:
    if not values:
        return configured()
    given = dict(values)
    heads = configured().head_start_seconds
    given["head_start_seconds"] = {name: given.pop(f"head_start_{name}_seconds", heads[name]) for name in heads}
    return replace(configured(), **{name: valid(key_of(name), value) for name, value in given.items()})


def provider_settings(alias: str) -> ProviderSettings:
    """What is in force for one provider; raises ConfigurationError as `configured_provider` does."""
    return _with_quotas(alias, dict(_quotas).get(alias, ()))


@lru_cache(maxsize=64)
def _with_quotas(alias: str, quotas: _Pairs) -> ProviderSettings:
    return replace(configured_provider(alias), **dict(quotas)) if quotas else configured_provider(alias)


def configured_value(name: str) -> Any:
    """What EMBEDDINGS says, or its default, under one of the names that `override` takes."""
    if name.startswith("head_start_"):
        return configured().head_start_seconds[name.removeprefix("head_start_").removesuffix("_seconds")]
    return getattr(configured(), name)


@receiver(setting_changed)
def _reset(*, setting: str, **kwargs: object) -> None:
    if setting in {"EMBEDDINGS", "EMBEDDING_PROVIDERS", "DATABASES"}:
        _overridden.cache_clear()
        _with_quotas.cache_clear()
