"""The ledger of the deliveries: the only writer of their states, in the first of EMBEDDINGS["DATABASES"].

As with tasks, nobody waits for a lock of others, and a delivery is sent under a lease, without an open transaction.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from embeddings import conf
from embeddings.models import WebhookDelivery, WebhookEndpoint
from embeddings.webhooks.sending import Result

State = WebhookDelivery.State

# After each failed attempt, by the Standard Webhooks' recommendation; the last attempt is 28 hours after the first.
DELAYS_SECONDS = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)
MOST_ATTEMPTS = len(DELAYS_SECONDS) + 1
# Messages on their way to one endpoint at once; one where the last was not taken.
MOST_AT_ONCE = 3
# A lease outlasts an attempt by so much.
SPARE_SECONDS = 30.0
# Of the attempts so many are kept.
MOST_HISTORY = 50
# Rows that one statement changes at most.
LIMIT = 100


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery in hand."""

    token: uuid.UUID
    delivery: WebhookDelivery

    @property
    def endpoint(self) -> WebhookEndpoint:
        return self.delivery.endpoint


def of_all() -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.using(conf.current().databases[0])


def _due() -> QuerySet[WebhookDelivery]:
    return of_all().filter(state=State.WAITING, available_at__lte=Now(), endpoint__is_enabled=True).order_by()


def _lost() -> QuerySet[WebhookDelivery]:
    return of_all().filter(state=State.SENDING, lease_until__lt=Now()).order_by()


def claim(limit: int, *, worker: str) -> list[Claim]:
    """Take up to `limit` deliveries that are due, the earliest first, and few of one endpoint."""
    token = uuid.uuid4()
    lease = timedelta(seconds=conf.current().webhook_timeout_seconds + SPARE_SECONDS)
    with transaction.atomic(using=of_all().db):
        sending = of_all().filter(state=State.SENDING).order_by()
        busy = Counter(sending.values_list("endpoint", flat=True))
        # Left out by the query: the many that wait for one of these must not hide what is due to others.
        endpoints = WebhookEndpoint.objects.using(of_all().db).filter(pk__in=busy)
        full = [one.pk for one in endpoints if busy[one.pk] >= _most_at_once(one)]
        rows = _due().exclude(endpoint__in=full).order_by("available_at").select_related("endpoint")
        chosen = _fair(rows.select_for_update(skip_locked=True, of=("self",))[: 10 * limit], busy, limit)
        held = {"state": State.SENDING, "worker": worker, "lease_token": token, "lease_until": Now() + lease}
        of_all().filter(pk__in=[one.pk for one in chosen]).update(**held)
    return [Claim(token, one) for one in chosen]


def _fair(rows: Iterable[WebhookDelivery], busy: Counter[int], limit: int) -> list[WebhookDelivery]:
    """Those that may be sent now, with what is on its way already."""
    chosen: list[WebhookDelivery] = []
    for one in rows:
        if len(chosen) < limit and busy[one.endpoint_id] < _most_at_once(one.endpoint):
            busy[one.endpoint_id] += 1
            chosen.append(one)
    return chosen


def _most_at_once(endpoint: WebhookEndpoint) -> int:
    return MOST_AT_ONCE if endpoint.failing_since is None else 1


def settle(claim: Claim, result: Result) -> bool:
    """Record an attempt; returns whether the lease still held. A failed one is tried again until it is given up."""
    one = claim.delivery
    entry = {
        "at": timezone.now().isoformat(timespec="seconds"),
        "status": result.status,
        "seconds": round(result.seconds, 3),
        "error": result.error,
    }
    values: dict[str, Any] = {
        "attempts": one.attempts + 1,
        "history": [*one.history, entry][-MOST_HISTORY:],
        "status_code": result.status,
        "error_message": result.error,
        "lease_token": None,
        "lease_until": None,
        **_next(one.attempts + 1, result),
    }
    with transaction.atomic(using=of_all().db):
        if not of_all().filter(pk=one.pk, lease_token=claim.token).update(**values):
            return False
        _note(claim.endpoint, is_delivered=result.is_delivered)
    return True


def _next(attempts: int, result: Result) -> dict[str, Any]:
    """What becomes of a delivery after so many attempts."""
    if result.is_delivered:
        return {"state": State.DELIVERED, "delivered_at": Now()}
    if result.is_gone or attempts >= MOST_ATTEMPTS:
        return {"state": State.FAILED}
    delay = max(_jittered(DELAYS_SECONDS[attempts - 1]), result.retry_after or 0.0)
    return {"state": State.WAITING, "available_at": Now() + timedelta(seconds=delay)}


def _jittered(seconds: float) -> float:
    """Up to a tenth more, so that messages that failed together do not come back together."""
    return seconds * random.uniform(1.0, 1.1)


def _note(endpoint: WebhookEndpoint, *, is_delivered: bool) -> None:
    """What an attempt says of its endpoint. The row is written only where it changes something worth it."""
    rows = WebhookEndpoint.objects.using(of_all().db).filter(pk=endpoint.pk)
    if is_delivered:
        stale = Q(last_delivered_at=None) | Q(last_delivered_at__lt=Now() - timedelta(seconds=1))
        rows.filter(stale | Q(failing_since__isnull=False)).update(last_delivered_at=Now(), failing_since=None)
    else:
        rows.filter(failing_since=None).update(failing_since=Now())


def release(claims: Collection[Claim]) -> int:
    """Give deliveries back whose answers nobody waits for any more: no attempt is charged, and they may come twice."""
    mine = of_all().filter(pk__in=[c.delivery.pk for c in claims], lease_token__in={c.token for c in claims})
    return mine.update(state=State.WAITING, lease_token=None, lease_until=None)


def rescue(worker: str | None = None) -> int:
    """Free what dead workers were sending: leases that ran out, or all that `worker` had in hand.

    It counts as an attempt, so that a message that kills workers is given up in the end.
    """
    lost = of_all().filter(state=State.SENDING, worker=worker).order_by() if worker else _lost()
    with transaction.atomic(using=of_all().db):
        rows = list(lost.select_for_update(skip_locked=True)[:LIMIT])
        for one in rows:
            entry = {"at": timezone.now().isoformat(timespec="seconds"), "status": None, "seconds": None}
            error = "The worker died while it was sending."
            one.history = [*one.history, {**entry, "error": error}][-MOST_HISTORY:]
            one.attempts, one.error_message = one.attempts + 1, error
            one.state = State.WAITING if one.attempts < MOST_ATTEMPTS else State.FAILED
            one.lease_token = one.lease_until = None
        of_all().bulk_update(
            rows, ["history", "attempts", "error_message", "state", "lease_token", "lease_until"], batch_size=LIMIT
        )
    return len(rows)


def cancel_waiting(endpoint: WebhookEndpoint) -> int:
    """What waits for an endpoint that is disabled is not sent."""
    return of_all().filter(endpoint=endpoint, state=State.WAITING).update(state=State.CANCELLED)


def cancel_strays() -> int:
    """What was on its way while its endpoint was disabled waits again: it is not sent either."""
    waiting = of_all().filter(state=State.WAITING)
    return waiting.filter(endpoint__is_enabled=False).update(state=State.CANCELLED)


def replay(deliveries: QuerySet[WebhookDelivery]) -> int:
    """Send deliveries again, with their ids, those of enabled endpoints that are not on their way; returns how many."""
    ended = [State.DELIVERED, State.FAILED, State.CANCELLED]
    chosen = deliveries.filter(state__in=ended, endpoint__is_enabled=True).order_by().values("pk")
    return (
        of_all()
        .filter(pk__in=chosen, state__in=ended)
        .update(state=State.WAITING, attempts=0, available_at=Now(), delivered_at=None)
    )
