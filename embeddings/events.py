"""The outbox of the webhooks: what has happened, in the transaction that makes it true.

Only what some enabled endpoint wants is written. `embeddings.webhooks` makes messages of it.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.core.signals import setting_changed
from django.db import models
from django.db.models import ExpressionWrapper, Q
from django.db.models.functions import Now
from django.dispatch import receiver

from embeddings import conf
from embeddings.models import WebhookDelivery, WebhookEndpoint, WebhookEvent

Kind = WebhookEvent.Kind
State = WebhookDelivery.State

# What a process has read of the endpoints may be so old: an endpoint hears nothing of its first seconds.
CACHE_SECONDS = 2.0
# So many events are not kept waiting for more; and so many go into messages at once.
MANY = 100

_read: tuple[float, frozenset[str]] = (float("-inf"), frozenset())


def record(kind: WebhookEvent.Kind, data: dict[str, Any], *, using: str) -> None:
    """Note in the present transaction that something has happened, if any endpoint wants to hear of it.

    `data` is JSON, without texts of objects and without keys.
    """
    if is_wanted(kind):
        WebhookEvent.objects.using(using).create(kind=kind, data=data)


def touch_batches(batch_ids: Collection[int], *, using: str) -> None:
    """Note that these batches may be finished now; whoever makes the messages looks whether they are."""
    if batch_ids:
        record(Kind.BATCH_FINISHED, {"batches": sorted(batch_ids)}, using=using)


def is_wanted(kind: WebhookEvent.Kind) -> bool:
    """Whether an enabled endpoint wants to hear of such events."""
    return kind in _wanted()


def is_anything_wanted() -> bool:
    """Whether there is an enabled endpoint."""
    return bool(_wanted())


def _wanted() -> frozenset[str]:
    global _read
    read_at, kinds = _read
    if time.monotonic() - read_at >= CACHE_SECONDS:
        endpoints = WebhookEndpoint.objects.using(conf.current().databases[0]).filter(is_enabled=True)
        kinds = frozenset(kind for wanted in endpoints.order_by().values_list("events", flat=True) for kind in wanted)
        _read = (time.monotonic(), kinds)
    return kinds


def are_due(using: str) -> bool:
    """Whether the oldest event has waited for others long enough, or very many wait. One short statement."""
    since = Now() - timedelta(seconds=conf.current().webhook_collapse_seconds)
    is_old = ExpressionWrapper(Q(created_at__lte=since), output_field=models.BooleanField())
    waiting = WebhookEvent.objects.using(using).order_by("pk").values_list(is_old, flat=True)[:MANY]
    flags = list(waiting)
    return len(flags) == MANY or any(flags)


def is_anything_due() -> bool:
    """Whether events are due to be made messages of, or messages to be sent, or lost by their worker."""
    databases = conf.current().databases
    deliveries = WebhookDelivery.objects.using(databases[0]).order_by()
    waiting = deliveries.filter(state=State.WAITING, available_at__lte=Now(), endpoint__is_enabled=True)
    lost = deliveries.filter(state=State.SENDING, lease_until__lt=Now())
    return waiting.exists() or lost.exists() or any(map(are_due, databases))


def forget() -> None:
    """What this process has read of the endpoints may have changed."""
    global _read
    _read = (float("-inf"), frozenset())


@receiver(setting_changed)
def _reset(*, setting: str, **kwargs: object) -> None:
    if setting == "EMBEDDINGS":
        forget()
