"""The audit log: who did what, and what happened that somebody may ask about later."""

from __future__ import annotations

import logging
from typing import Any

from embeddings import conf
from embeddings.models import AuditEvent

logger = logging.getLogger(__name__)

Kind = AuditEvent.Kind

# What somebody should see; all else is good to know.
_WARNINGS = {Kind.BLOCKED, Kind.RESCUED, Kind.ALERT}


def record(kind: AuditEvent.Kind, message: str, *, subject: str = "", by: str = "", **details: Any) -> None:
    """Add an entry, and a line to the log.

    `message` is one sentence without anybody's text or key; `details` are JSON.
    """
    AuditEvent.objects.using(conf.current().databases[0]).create(
        kind=kind, subject=subject[:255], message=message, by=by[:255], details=details
    )
    level = logging.WARNING if kind in _WARNINGS else logging.INFO
    logger.log(level, "%s", message, extra={"event": str(kind), "subject": subject or None})
