"""Alerts: operators are told once of what needs them, and once more when it is over.

A project of its own hears of them by signals, in a thread of its own:

    @receiver(embeddings.alerts.alert_raised)
    def page_somebody(alert, **kwargs): ...
"""

from __future__ import annotations

from embeddings.alerts.saving import look_for_workers, rest
from embeddings.alerts.telling import alert_over, alert_raised, finish
from embeddings.alerts.watching import keep_watch, watch

__all__ = ["alert_over", "alert_raised", "finish", "keep_watch", "look_for_workers", "rest", "watch"]
