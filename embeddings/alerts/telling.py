"""How alerts are told: by e-mail to ADMINS, and by signals."""

from __future__ import annotations

import logging
import threading
import time

from django.core.mail import get_connection, mail_admins
from django.db import connections
from django.dispatch import Signal

from embeddings import conf
from embeddings.models import Alert

logger = logging.getLogger(__name__)

# Sent with `alert`, in a thread of their own: receivers may take their time.
alert_raised = Signal()
alert_over = Signal()
THREAD = "embeddings-alert"
# A mail server that does not answer for so long is given up.
MAIL_SECONDS = 10.0


def tell(alert: Alert, signal: Signal) -> None:
    """Send the mail and the signal. Nobody waits for it: neither a save nor a worker's sweep."""
    is_mailed = conf.current().alert_emails
    threading.Thread(target=_tell, args=(alert, signal, is_mailed), name=THREAD).start()


def finish() -> None:
    """Wait until all is told, as long as a mail may take: a worker's child that ends takes its threads with it."""
    until = time.monotonic() + MAIL_SECONDS
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(max(0.0, until - time.monotonic()))


def _tell(alert: Alert, signal: Signal, is_mailed: bool) -> None:
    try:
        if is_mailed:
            _mail(alert)
        signal.send_robust(sender=Alert, alert=alert)  # Django logs what its receivers raise.
    finally:
        connections.close_all()  # those of this thread, that receivers may have opened


def _mail(alert: Alert) -> None:
    name = alert.get_kind_display() + (f" ({alert.subject})" if alert.subject else "")
    subject = f"Embeddings: {'over: ' if alert.over_at else ''}{name}"
    since = f"{alert.raised_at:%Y-%m-%d %H:%M} UTC"
    end = f"Over since {alert.over_at:%Y-%m-%d %H:%M} UTC; it began at {since}." if alert.over_at else f"Since {since}."
    try:
        mail_admins(subject, f"{alert.message}\n\n{end}\n", connection=get_connection(timeout=MAIL_SECONDS))
    except Exception:  # Whatever a mail backend raises.
        logger.exception("An alert could not be mailed: %s", alert.message)
