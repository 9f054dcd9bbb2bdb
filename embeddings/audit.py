"""The audit log: who did what, and what happened that somebody may ask about later."""

from __future__ import annotations

from typing import Any

from embeddings import conf
from embeddings.models import AuditEvent

Kind = AuditEvent.Kind


def record(kind: AuditEvent.Kind, message: str, *, subject: str = "", by: str = "", **details: Any) -> None:
    """Add an entry. `message` is one sentence without anybody's text or key; `details` are JSON."""
    AuditEvent.objects.using(conf.current().databases[0]).create(
        kind=kind, subject=subject[:255], message=message, by=by[:255], details=details
    )
