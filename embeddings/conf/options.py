"""The EMBEDDINGS setting, typed, with its defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS
from django.dispatch import receiver

from embeddings.exceptions import ConfigurationError


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
    # The most requests in flight at once in one worker; how many there are is learned from the provider's answers.
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

    # Who sends it as a bearer token may read /metrics; "": only who is logged in with view_embeddingtask may.
    metrics_token: str = field(default="", repr=False)

    # How many calls of the API that ask a provider a user may make in a minute; 0 for no limit.
    api_calls_per_minute: int = 300

    # On: webhooks may be sent to private, loopback and link-local addresses too; off: only to public ones.
    webhook_private_addresses: bool = False
    # The RQ queue of the deliveries, a key of RQ_QUEUES; "" for that of the pokes. With one of its own, and a worker
    # for it, slow receivers take no time from embedding.
    webhook_queue: str = ""
    # A receiver that has not answered after this is tried again later.
    webhook_timeout_seconds: float = 10.0
    # What ends within this time is told in one message.
    webhook_collapse_seconds: float = 5.0
    # Deliveries are deleted after so many days. 0 days keeps them.
    webhook_retention_days: int = 30


@cache
def configured() -> EmbeddingSettings:
    """The EMBEDDINGS setting over its defaults; raises ConfigurationError naming the key that is wrong."""
    given = getattr(settings, "EMBEDDINGS", {})
    if not isinstance(given, Mapping):
        raise ConfigurationError("EMBEDDINGS must be a dict.")
    names = {key_of(f.name): f for f in fields(EmbeddingSettings)}
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ConfigurationError(f"EMBEDDINGS has no key {unknown[0]!r}; the keys are {', '.join(sorted(names))}.")
    return EmbeddingSettings(**{names[key].name: valid(key, value) for key, value in given.items()})


_SWITCHES = {"ENABLED", "QUEUE_ENABLED", "DIRECT_FALLBACK", "ALERT_EMAILS", "WEBHOOK_PRIVATE_ADDRESSES"}
_TOKEN = re.compile(r"[!-~]{16,}")
_MAY_BE_ZERO = {
    "CLEANUP_RETENTION_DAYS",
    "ATTEMPT_RETENTION_DAYS",
    "METRIC_RETENTION_DAYS",
    "AUDIT_RETENTION_DAYS",
    "ALERT_FAILED",
    "ALERT_WAITING_SECONDS",
    "BACKOFF_BASE_SECONDS",
    "API_CALLS_PER_MINUTE",
    "WEBHOOK_COLLAPSE_SECONDS",
    "WEBHOOK_RETENTION_DAYS",
}


def valid(key: str, value: Any) -> Any:
    if key in _SWITCHES:
        if not isinstance(value, bool):
            raise ConfigurationError(f"EMBEDDINGS[{key!r}] must be True or False, not {value!r}.")
    elif key in {"QUEUE", "WEBHOOK_QUEUE"}:
        if not isinstance(value, str) or (not value and key == "QUEUE"):
            raise ConfigurationError(f"EMBEDDINGS[{key!r}] must be the name of a queue in RQ_QUEUES, not {value!r}.")
    elif key == "METRICS_TOKEN":
        if not isinstance(value, str) or (value and not _TOKEN.fullmatch(value)):  # which is not quoted
            raise ConfigurationError(
                f"EMBEDDINGS[{key!r}] must be a string of at least 16 letters, digits and other characters of ASCII "
                "without spaces; make one with: python -c 'import secrets; print(secrets.token_urlsafe())'."
            )
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


def key_of(name: str) -> str:
    """The key in EMBEDDINGS of a field."""
    return name.upper()


@receiver(setting_changed)
def _reset(*, setting: str, **kwargs: object) -> None:
    if setting in {"EMBEDDINGS", "DATABASES"}:
        configured.cache_clear()
