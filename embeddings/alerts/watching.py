"""Raise alerts of what is wrong, and end those of what is over. Several processes may do so at once."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from embeddings import audit, census, conf, events
from embeddings.alerts import troubles
from embeddings.alerts.telling import alert_over, alert_raised, tell
from embeddings.alerts.troubles import Trouble
from embeddings.models import Alert

logger = logging.getLogger(__name__)

Kind = Alert.Kind

# What was not so for this long is over: what comes and goes is told once. A worker that has come is there.
QUIET = {Kind.FAILED: 60.0, Kind.WAITING: 60.0, Kind.PROVIDER: 60.0, Kind.NO_WORKER: 0.0}


def keep_watch() -> None:
    """Count the ledgers if it is our turn; who has counted the first looks for all troubles. Never raises."""
    databases = conf.current().databases
    turns = [census.take_if_due(using) for using in databases]
    if not turns[0]:
        return
    try:
        watch()
    except Exception:  # No worker ends because nobody could be told of something.
        logger.exception("It could not be seen whether operators are needed.")


def watch(kinds: Iterable[Alert.Kind] = tuple(Kind)) -> None:
    """Look for troubles of these kinds, and tell of those that are new or over. Raises the database's errors."""
    found = {(trouble.kind, trouble.subject): trouble for trouble in troubles.find(kinds)}
    present = {(Kind(alert.kind), alert.subject): alert for alert in _alerts().filter(over_at=None, kind__in=kinds)}
    for key, trouble in found.items():
        if key in present:
            _alerts().filter(pk=present[key].pk, over_at=None).update(message=trouble.message, seen_at=Now())
        else:
            _raise(trouble)
    for key, alert in present.items():
        if key not in found:
            _end(alert)


def _raise(trouble: Trouble) -> None:
    """The unique constraint decides who tells of it."""
    alerts = _alerts()
    with transaction.atomic(using=alerts.db):
        alert, is_new = alerts.get_or_create(
            kind=trouble.kind, subject=trouble.subject, over_at=None, defaults={"message": trouble.message}
        )
        if is_new:
            audit.record(audit.Kind.ALERT, alert.message, subject=_about(alert))
            events.record(events.Kind.QUEUE_UNHEALTHY, _told(alert), using=alerts.db)
    if is_new:
        tell(alert, alert_raised)


def _end(alert: Alert) -> None:
    still = _alerts().filter(pk=alert.pk, over_at=None)
    quiet = Now() - timedelta(seconds=QUIET[Kind(alert.kind)])
    with transaction.atomic(using=still.db):
        is_over = still.filter(seen_at__lte=quiet).update(over_at=Now()) == 1
        if is_over:
            alert.refresh_from_db()
            audit.record(audit.Kind.ALERT_OVER, f"Over: {alert.message}", subject=_about(alert))
            events.record(events.Kind.QUEUE_RECOVERED, _told(alert), using=still.db)
    if is_over:
        tell(alert, alert_over)


def _told(alert: Alert) -> dict[str, object]:
    """What webhooks hear of it."""
    return {
        "alert": alert.kind,
        "subject": alert.subject,
        "message": alert.message,
        "raisedAt": alert.raised_at.isoformat(),
        "overAt": alert.over_at and alert.over_at.isoformat(),
    }


def _about(alert: Alert) -> str:
    return f"provider {alert.subject}" if alert.kind == Kind.PROVIDER else alert.subject


def _alerts() -> QuerySet[Alert]:
    return Alert.objects.using(conf.current().databases[0])
