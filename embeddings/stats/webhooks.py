"""How the webhooks' receivers do."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from django.db import models
from django.db.models import ExpressionWrapper, Q
from django.db.models.functions import Now

from embeddings import conf
from embeddings.models import WebhookDelivery, WebhookEndpoint

# What fails for no longer than this may be over with the next attempt.
PATIENCE = timedelta(minutes=10)
# The latest deliveries of an endpoint that are counted.
MOST_COUNTED = 1_000


def troubled_endpoints() -> list[WebhookEndpoint]:
    """Those that take nothing for some time, or were disabled by themselves."""
    endpoints = WebhookEndpoint.objects.using(conf.current().databases[0])
    failing = Q(is_enabled=True, failing_since__lt=Now() - PATIENCE)
    return list(endpoints.filter(failing | Q(is_enabled=False) & ~Q(disabled_reason="")))


def endpoint_health(endpoint_id: int) -> Counter[str]:
    """{state: deliveries} of the last day; of the latest MOST_COUNTED, if there were more."""
    deliveries = WebhookDelivery.objects.using(conf.current().databases[0]).filter(endpoint=endpoint_id)
    is_recent = ExpressionWrapper(Q(created_at__gt=Now() - timedelta(days=1)), output_field=models.BooleanField())
    latest = deliveries.order_by("-pk").values_list("state", is_recent)[:MOST_COUNTED]
    return Counter(state for state, is_one in latest if is_one)
