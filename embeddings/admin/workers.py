"""Workers: which live, what they hold, what they have done."""

from __future__ import annotations

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html

from embeddings.admin import labels
from embeddings.admin.readonly import ReadOnlyAdmin
from embeddings.models import ALIVE_SECONDS, WorkerStatus

State = WorkerStatus.State

MEANING = {
    State.ACTIVE: "It has tasks in hand.",
    State.IDLE: "It waits for work.",
    State.STOPPED: "It ended in order, and gave back what it had in hand.",
    State.ERROR: "Its last job ended with an exception; it goes on with the next.",
}
MISSING = "It was killed, or cannot reach the database. Other workers take over what it had in hand."


@admin.register(WorkerStatus)
class WorkerAdmin(ReadOnlyAdmin):
    """Who works: a worker that fell silent is told from one that stopped."""

    ordering = ("-heartbeat_at",)
    list_display = (
        "name",
        "worker_state",
        "heard_of",
        "in_hand",
        "completed",
        "failed",
        "hostname",
        "started",
    )
    fieldsets = (
        (None, {"fields": ("name", "worker_state", "meaning", "heard_of", "last_error")}),
        ("What it does and has done, in tasks", {"fields": (("in_hand", "completed", "failed", "rate_limited"),)}),
        ("Where and when", {"fields": (("hostname", "pid"), "started_at", "heartbeat_at", "stopped_at")}),
    )

    @admin.display(description="state")
    def worker_state(self, worker: WorkerStatus) -> str:
        if _is_missing(worker):
            return labels.pill("missing", "missing")
        return labels.pill(worker.state, worker.get_state_display())

    @admin.display(description="last heard of")
    def heard_of(self, worker: WorkerStatus) -> str:
        if _is_missing(worker):
            return format_html("not heard of for <strong>{}</strong>", labels.age(worker.heartbeat_at))
        return labels.ago(worker.heartbeat_at)

    @admin.display(description="in hand")
    def in_hand(self, worker: WorkerStatus) -> str:
        return f"{worker.claimed:,}"

    @admin.display(description="started")
    def started(self, worker: WorkerStatus) -> str:
        return labels.ago(worker.started_at)

    @admin.display(description="what it means")
    def meaning(self, worker: WorkerStatus) -> str:
        return MISSING if _is_missing(worker) else MEANING[State(worker.state)]


def _is_missing(worker: WorkerStatus) -> bool:
    """Whether it should be alive but is silent: it was killed, or cannot reach the database."""
    silent_seconds = (timezone.now() - worker.heartbeat_at).total_seconds()
    return worker.state != State.STOPPED and silent_seconds > ALIVE_SECONDS
