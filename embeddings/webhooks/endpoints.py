"""Whom we tell: secrets, and endpoints that are switched off and on."""

from __future__ import annotations

import base64
import logging
import secrets
from datetime import timedelta

from django.core.mail import get_connection, mail_admins
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from embeddings import audit, conf, events, jobs
from embeddings.models import WebhookDelivery, WebhookEndpoint
from embeddings.webhooks import deliveries, messages

logger = logging.getLogger(__name__)

# A former secret signs for so long beside the new one.
ROTATION = timedelta(hours=24)
# An endpoint that has taken nothing for so long is disabled.
PATIENCE = timedelta(days=5)
MAIL_SECONDS = 10.0


def new_secret() -> str:
    """As the Standard Webhooks have them: 32 random bytes."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def valid_secrets(endpoint: WebhookEndpoint) -> list[str]:
    """What messages are signed with now: the secret, and the former one as long as it is valid."""
    return [endpoint.secret, *([endpoint.former_secret] if has_former(endpoint) else [])]


def has_former(endpoint: WebhookEndpoint) -> bool:
    """Whether the former secret is still valid."""
    until = endpoint.former_secret_until
    return bool(endpoint.former_secret) and until is not None and until > timezone.now()


def rotate(endpoint: WebhookEndpoint, *, by: str) -> str:
    """Give an endpoint a new secret, and return it; the present one is valid for another day."""
    new = new_secret()
    with transaction.atomic(using=_database()):
        row = WebhookEndpoint.objects.using(_database()).select_for_update().get(pk=endpoint.pk)
        row.former_secret, row.former_secret_until = row.secret, timezone.now() + ROTATION
        row.secret = new
        row.save(using=_database(), update_fields=["secret", "former_secret", "former_secret_until"])
        _record(row, "got a new secret; the former one is valid for another day", by)
    return new


def disable(endpoint: WebhookEndpoint, reason: str = "", *, by: str = "") -> bool:
    """Send nothing more to an endpoint, and cancel what waits for it; returns whether it was enabled.

    `reason` says why, where nobody did it by hand; operators are then told by mail.
    """
    with transaction.atomic(using=_database()):
        changed = {"is_enabled": False, "disabled_reason": reason, "disabled_at": Now()}
        rows = WebhookEndpoint.objects.using(_database()).filter(pk=endpoint.pk, is_enabled=True)
        if not rows.update(**changed):
            return False
        cancelled = deliveries.cancel_waiting(endpoint)
        _record(endpoint, f"was disabled, {cancelled:,} messages with it{f': {reason}' if reason else ''}", by)
    events.forget()
    if reason:
        _mail(endpoint, reason)
    return True


def enable(endpoint: WebhookEndpoint, *, by: str) -> bool:
    """Send to an endpoint again; what it has missed can be replayed. Returns whether it was disabled."""
    with transaction.atomic(using=_database()):
        changed = {"is_enabled": True, "disabled_reason": "", "failing_since": None}
        rows = WebhookEndpoint.objects.using(_database()).filter(pk=endpoint.pk, is_enabled=False)
        if not rows.update(**changed):
            return False
        _record(endpoint, "was enabled", by)
    events.forget()
    return True


def disable_if_hopeless(endpoint: WebhookEndpoint, *, is_gone: bool) -> bool:
    """After a failed attempt: whether the endpoint is disabled for it."""
    if is_gone:
        return disable(endpoint, "Its receiver answered 410 Gone: it does not want any more.")
    row = WebhookEndpoint.objects.using(_database()).filter(pk=endpoint.pk).first()
    if row is None or row.failing_since is None or row.failing_since > timezone.now() - PATIENCE:
        return False
    return disable(row, f"It has taken nothing for {PATIENCE.days} days.")


def send_test(endpoint: WebhookEndpoint, *, by: str) -> WebhookDelivery:
    """Queue a test message; it goes the way of all others."""
    made = messages.test_message(endpoint, timezone.now())
    with transaction.atomic(using=_database()):
        delivery = WebhookDelivery.objects.using(_database()).create(
            endpoint=endpoint, kind=made.kind, message_id=made.message_id, payload=made.payload
        )
        _record(endpoint, "is sent a test message", by)
        transaction.on_commit(jobs.poke_deliverer, using=_database(), robust=True)
    return delivery


def missed(endpoint: WebhookEndpoint) -> int:
    """How many messages it did not get, up to a thousand."""
    ended = [WebhookDelivery.State.FAILED, WebhookDelivery.State.CANCELLED]
    return deliveries.of_all().filter(endpoint=endpoint, state__in=ended)[:1_000].count()


def _record(endpoint: WebhookEndpoint, what: str, by: str) -> None:
    message = f"Webhook endpoint {endpoint.name} {what.rstrip('.')}."
    audit.record(audit.Kind.WEBHOOK, message, subject=f"webhook {endpoint.name}", by=by)


def _mail(endpoint: WebhookEndpoint, reason: str) -> None:
    if not conf.current().alert_emails:
        return
    message = (
        f"The webhook endpoint {endpoint.name} was disabled. {reason}\n\n"
        "Correct its receiver, then enable it in the admin and send again what it has missed.\n"
    )
    try:
        connection = get_connection(timeout=MAIL_SECONDS)
        mail_admins(f"Embeddings: webhook {endpoint.name} disabled", message, connection=connection)
    except Exception:  # Whatever a mail backend raises.
        logger.exception("It could not be mailed that a webhook was disabled: %s", endpoint.name)


def _database() -> str:
    return conf.current().databases[0]
