"""The page that Prometheus reads.

Everything comes from the database and Redis, so that each process of a site gives the same answer, and nothing is lost
with a process.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from django.db import Error, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from embeddings import broker, conf, stats, timeouts
from embeddings.exceptions import ConfigurationError
from embeddings.monitoring import families
from embeddings.monitoring.access import refusal
from embeddings.monitoring.families import gauge
from embeddings.monitoring.webhook_families import webhooks

logger = logging.getLogger(__name__)

# What a process has read may be so old.
CACHE_SECONDS = 2.0

Section = Callable[[stats.Situation], Iterable[Metric]]
_SECTIONS: tuple[Section, ...] = (
    families.tasks,
    lambda now: families.targets(),
    lambda now: families.requests(),
    families.providers,
    families.workers,
    lambda now: families.alerts(),
    lambda now: webhooks(),
)


class Collector:
    """All metrics, read anew when they are older than CACHE_SECONDS."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._read: list[Metric] = []

    def describe(self) -> list[Metric]:
        """Nothing: else the registry would ask for all metrics to learn their names."""
        return []

    def collect(self) -> list[Metric]:
        with self._lock:
            if time.monotonic() - self._read_at >= CACHE_SECONDS:
                self._read = list(_read())
                self._read_at = time.monotonic()
            return self._read

    def forget(self) -> None:
        self._read_at = float("-inf")


collector = Collector()
_registry = CollectorRegistry()
_registry.register(collector)


@transaction.non_atomic_requests
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """GET /metrics, as text or in the OpenMetrics format, whichever the reader asks for."""
    if refused := refusal(request):
        return refused
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    response = HttpResponse(encode(_registry), content_type=content_type)
    add_never_cache_headers(response)
    return response


def _read() -> Iterator[Metric]:
    """All that can be read. Never raises the database's errors, nor Redis's."""
    started = time.monotonic()
    is_complete = True
    with timeouts.bounded(conf.current().databases):
        try:
            now = stats.situation()
        except (Error, ConfigurationError) as exc:
            _warn(exc)
            yield from _without_database()
            is_complete = False
        else:
            for section in _SECTIONS:
                try:
                    yield from list(section(now))
                except (Error, ConfigurationError) as exc:
                    _warn(exc)
                    is_complete = False
            yield from _of_health(now)
            is_complete &= now.workforce.queue is not None or not now.settings.queue_enabled
    yield gauge("embeddings_up", "1 if all of this could be read, from the database and Redis.", is_complete)
    yield gauge("embeddings_metrics_seconds", "How long it took to read all of this.", time.monotonic() - started)


def _of_health(now: stats.Situation) -> Iterator[Metric]:
    yield from families.queue(now.workforce.queue)
    yield _level(stats.health_of(now).level)


def _without_database() -> Iterator[Metric]:
    yield from families.queue(broker.look())
    yield _level("down")


def _level(level: stats.HealthLevel) -> Metric:
    return gauge("embeddings_health_level", "0 well, 1 degraded, 2 down.", stats.EXIT_CODES[level])


def _warn(exc: Exception) -> None:
    logger.warning("Some metrics could not be read (%s).", type(exc).__name__)
