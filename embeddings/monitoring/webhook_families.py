"""The metrics of webhooks, without reading a table whole: deliveries are kept for weeks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now
from prometheus_client.core import GaugeMetricFamily, Metric

from embeddings import conf
from embeddings.models import WebhookDelivery, WebhookEndpoint
from embeddings.monitoring.families import gauge

# Deliveries that are counted.
MOST_OPEN = 10_000
LATEST = 1_000
State = WebhookDelivery.State


def webhooks() -> Iterator[Metric]:
    """Endpoints by how they are, deliveries still to be made, and what became of the latest."""
    using = conf.current().databases[0]
    deliveries = WebhookDelivery.objects.using(using)
    endpoints = GaugeMetricFamily(
        "embeddings_webhook_endpoints", "Endpoints of webhooks by how they are.", labels=["state"]
    )
    counts = Counter(_state(*row) for row in _endpoints(using))
    for state in ("enabled", "failing", "disabled"):
        endpoints.add_metric([state], counts[state])
    yield endpoints
    to_do = GaugeMetricFamily(
        "embeddings_webhook_deliveries", f"Deliveries to be made, up to {MOST_OPEN:,} counted.", labels=["state"]
    )
    latest = GaugeMetricFamily(
        "embeddings_webhook_latest_deliveries", f"What became of the latest {LATEST:,} deliveries.", labels=["state"]
    )
    if counts:
        for state in (State.WAITING, State.SENDING):
            to_do.add_metric([state], deliveries.filter(state=state).order_by()[:MOST_OPEN].count())
        found = Counter(deliveries.order_by("-pk").values_list("state", flat=True)[:LATEST])
        for state in State.values:
            latest.add_metric([state], found[state])
    yield from (to_do, latest)
    yield gauge(
        "embeddings_webhook_oldest_waiting_seconds",
        "How long the delivery is due that is due longest; 0 where none is.",
        _due_seconds(using) if counts else 0.0,
    )


def _endpoints(using: str) -> list[tuple[bool, bool]]:
    rows = WebhookEndpoint.objects.using(using).order_by("pk").values_list("is_enabled", "failing_since")
    return [(is_enabled, since is not None) for is_enabled, since in rows]


def _state(is_enabled: bool, is_failing: bool) -> str:
    if not is_enabled:
        return "disabled"
    return "failing" if is_failing else "enabled"


def _due_seconds(using: str) -> float:
    since = ExpressionWrapper(Now() - F("available_at"), output_field=DurationField())
    waiting = WebhookDelivery.objects.using(using).filter(state=State.WAITING)
    due = waiting.order_by("available_at").annotate(since=since).values_list("since", flat=True).first()
    return 0.0 if due is None else max(0.0, due.total_seconds())
