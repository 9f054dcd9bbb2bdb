"""The only reader of settings: EMBEDDINGS and EMBEDDING_PROVIDERS, typed, with their defaults.

What is in force is these, and over them what operators have changed while the processes run: see `override`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache, lru_cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS
from django.dispatch import receiver

from embeddings.exceptions import ConfigurationError

DEFAULT_PROVIDER = "default"


@dataclass(frozen=True, slots=True)
class EmbeddingSettings:
    """The EMBEDDINGS setting. Each field is a key in upper case; durations are seconds."""

    # Off: nothing is recorded or embedded, and searches are by keyword.
    enabled: bool = True
    # Off: no worker is needed; objects are embedded in the saving process, after its commit.
    queue_enabled: bool = True
    # On: where Redis cannot be told that there is work, up to a batch of it is done in the saving process after its
    # commit. Off: it is left to the workers' next sweep.
    direct_fallback: bool = False
    # The RQ queue of the pokes, a key of RQ_QUEUES.
    queue: str = "embeddings"
    # The databases that hold models with embeddings; each needs this app's tables. The first also holds
    # what belongs to no model: workers, providers, requests.
    databases: tuple[str, ...] = (DEFAULT_DB_ALIAS,)

    # Tasks claimed at once, and the most texts in one request (a provider's own limit may be lower).
    batch_size: int = 256
    # Requests in flight at once in one worker.
    concurrency: int = 5
    # Attempts before a task is failed.
    max_attempts: int = 3
    # Delay after the first failed attempt; doubles with each, up to the cap.
    backoff_base_seconds: float = 2.0
    backoff_cap_seconds: float = 300.0
    # Workers that may die with a task in hand before it is failed. After the second death it is in hand alone, so that
    # the default is three deaths in a row at this very task.
    max_crashes: int = 5
    # Transient failures in a row that open a provider's circuit, and how long it stays open before a probe.
    circuit_failures: int = 5
    circuit_open_seconds: float = 30.0

    # How long a claim lasts without renewal; a dead worker's tasks are free again after it.
    lease_seconds: float = 40.0
    # A provider request still unanswered after this is given up.
    request_timeout_seconds: float = 300.0
    # A search waits so long for its query's vector, and then does without: by keyword.
    search_timeout_seconds: float = 2.0
    # A worker looks for due tasks, expired leases and lost pokes this often; rounded to whole seconds, at least 1.
    sweep_seconds: float = 1.0
    # One job works at most this long, then hands on to the next.
    drain_seconds: float = 60.0
    # Rows that an operation in the background reads, and whose tasks it opens, in one transaction.
    operation_page_size: int = 1_000
    # A worker that is asked to stop gives back what its provider has not answered within this time.
    grace_seconds: float = 8.0
    # A worker's statement is given up after waiting so long for a lock, or running so long; its tasks are tried again.
    lock_timeout_seconds: float = 5.0
    statement_timeout_seconds: float = 10.0
    # Head start in the queue by priority: a low task is overtaken by high ones for at most the difference.
    head_start_seconds: Mapping[str, float] = field(
        default_factory=lambda: {"high": 3600.0, "normal": 600.0, "low": 0.0}
    )

    # How often, and after how many days, records of past work are deleted. 0 days keeps them.
    cleanup_interval_hours: float = 24.0
    cleanup_retention_days: int = 30
    # The same for the history of tasks, the figures of each minute, and the audit log.
    attempt_retention_days: int = 7
    metric_retention_days: int = 90
    audit_retention_days: int = 365

    # So many failed tasks raise an alert, as does a task that waits for longer than this; 0 for none.
    alert_failed: int = 100
    alert_waiting_seconds: float = 3600.0
    # Off: alerts are a signal and a line in the admin only; on: ADMINS get an e-mail too.
    alert_emails: bool = True


def _key(name: str) -> str:
    return name.upper()


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
    return replace(configured(), **{name: _valid(_key(name), value) for name, value in given.items()})


def configured_value(name: str) -> Any:
    """What EMBEDDINGS says, or its default, under one of the names that `override` takes."""
    if name.startswith("head_start_"):
        return configured().head_start_seconds[name.removeprefix("head_start_").removesuffix("_seconds")]
    return getattr(configured(), name)


@cache
def configured() -> EmbeddingSettings:
    """The EMBEDDINGS setting over its defaults; raises ConfigurationError naming the key that is wrong."""
    given = getattr(settings, "EMBEDDINGS", {})
    if not isinstance(given, Mapping):
        raise ConfigurationError("EMBEDDINGS must be a dict.")
    names = {_key(f.name): f for f in fields(EmbeddingSettings)}
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ConfigurationError(f"EMBEDDINGS has no key {unknown[0]!r}; the keys are {', '.join(sorted(names))}.")
    return EmbeddingSettings(**{names[key].name: _valid(key, value) for key, value in given.items()})


_SWITCHES = {"ENABLED", "QUEUE_ENABLED", "DIRECT_FALLBACK", "ALERT_EMAILS"}
_MAY_BE_ZERO = {
    "CLEANUP_RETENTION_DAYS",
    "ATTEMPT_RETENTION_DAYS",
    "METRIC_RETENTION_DAYS",
    "AUDIT_RETENTION_DAYS",
    "ALERT_FAILED",
    "ALERT_WAITING_SECONDS",
    "BACKOFF_BASE_SECONDS",
}


def _valid(key: str, value: Any) -> Any:
    if key in _SWITCHES:
        if not isinstance(value, bool):
            raise ConfigurationError(f"EMBEDDINGS[{key!r}] must be True or False, not {value!r}.")
    elif key == "QUEUE":
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"EMBEDDINGS[{key!r}] must be the name of a queue in RQ_QUEUES, not {value!r}.")
    elif key == "DATABASES":
        if not isinstance(value, list | tuple | set) or not value or not set(value) <= set(settings.DATABASES):
            raise ConfigurationError(f"EMBEDDINGS[{key!r}] must list aliases of DATABASES, not {value!r}.")
        return tuple(value)
    elif key == "HEAD_START_SECONDS":
        is_complete = isinstance(value, Mapping) and set(value) == {"high", "normal", "low"}
        if not is_complete or not all(_is_number(seconds) for seconds in value.values()):
            raise ConfigurationError(f"EMBEDDINGS[{key!r}] must give seconds for 'high', 'normal' and 'low'.")
    elif not _is_number(value):
        raise ConfigurationError(f"EMBEDDINGS[{key!r}] must be a positive number, not {value!r}.")
    elif value == 0 and key not in _MAY_BE_ZERO:
        raise ConfigurationError(f"EMBEDDINGS[{key!r}] must be more than 0.")
    elif isinstance(value, float) and isinstance(getattr(EmbeddingSettings(), key.lower()), int):
        raise ConfigurationError(f"EMBEDDINGS[{key!r}] must be a whole number, not {value!r}.")
    return value


def _is_number(value: Any) -> bool:
    """Whether it is a finite number of at least 0; True and False are not meant as one."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


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


def provider_settings(alias: str) -> ProviderSettings:
    """What is in force for one provider; raises ConfigurationError as `configured_provider` does."""
    return _with_quotas(alias, dict(_quotas).get(alias, ()))


@lru_cache(maxsize=64)
def _with_quotas(alias: str, quotas: _Pairs) -> ProviderSettings:
    return replace(configured_provider(alias), **dict(quotas)) if quotas else configured_provider(alias)


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


def max_body_bytes() -> int:
    """The largest body of a request that Django reads."""
    size: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return size


def rq_queues() -> list[str]:
    """The names of RQ's queues."""
    return list(getattr(settings, "RQ_QUEUES", {}))


def rq_worker_class() -> Any:
    """The class, or the path to it, that `manage.py rqworker` runs; None for RQ's own."""
    return getattr(settings, "RQ", {}).get("WORKER_CLASS")


@receiver(setting_changed)
def _reset(*, setting: str, **kwargs: object) -> None:
    if setting in {"EMBEDDINGS", "EMBEDDING_PROVIDERS", "DATABASES"}:
        for cached in (configured, _overridden, configured_provider, _with_quotas):
            cached.cache_clear()
