"""Workers: which live, what they hold, what they have done."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from embeddings import broker, conf, stats
from embeddings.admin import labels
from embeddings.admin.listing import BoundedChangeList
from embeddings.admin.places import Places
from embeddings.admin.readonly import SharedAdmin
from embeddings.models import ALIVE_SECONDS, Status, WorkerStatus

State = WorkerStatus.State

MEANING = {
    State.ACTIVE: "It has tasks in hand.",
    State.IDLE: "It waits for work.",
    State.STOPPED: "It ended in order, and gave back what it had in hand.",
    State.ERROR: "Its last job ended with an exception; it goes on with the next.",
}
MISSING = "It was killed, or cannot reach the database. Other workers take over what it had in hand."
UNKNOWN_TO_REDIS = (
    "It lives, but Redis does not know it: it cannot reach Redis, or uses another one than this page, and takes no new "
    "work from it. Nothing is lost: its sweeps and other workers go on. It registers again within 5 s of reaching "
    "Redis; if it stays like this, compare its RQ_QUEUES with this page's, and restart it."
)


class WorkerChangeList(BoundedChangeList):
    """The list, with what Redis knows asked for once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        known = broker.worker_names()
        places = Places(request, self.model_admin.admin_site)
        for worker in self.result_list:
            worker.is_unknown = _is_unknown(worker, known)
            worker.tasks_url = _tasks_url(worker, places) if worker.claimed else ""


@admin.register(WorkerStatus)
class WorkerAdmin(SharedAdmin):
    """Who works: a worker that fell silent is told from one that stopped."""

    ordering = ("-heartbeat_at",)
    change_list_template = "embeddings/admin/workers.html"
    list_display = (
        "name",
        "worker_state",
        "heard_of",
        "in_hand",
        "tasks_completed",
        "tasks_failed",
        "speed",
        "hostname",
        "started",
    )
    fieldsets = (
        (None, {"fields": ("name", "worker_state", "meaning", "heard_of", "last_error")}),
        ("In hand now", {"fields": ("batch_in_hand",)}),
        ("What it has done, in tasks", {"fields": (("tasks_completed", "tasks_failed", "rate_limited"), "speed")}),
        ("Where and when", {"fields": (("hostname", "pid"), "started_at", "heartbeat_at", "stopped_at")}),
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return WorkerChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        force = stats.workforce()
        # With the queue off nobody misses Redis.
        is_redis_away = force.queue is None and conf.current().queue_enabled
        context = {"strangers": force.only_in_redis, "is_redis_away": is_redis_away, **(extra_context or {})}
        return super().changelist_view(request, context)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        worker: Any = super().get_object(request, object_id, from_field)
        if worker is not None:
            worker.is_unknown = _is_unknown(worker, broker.worker_names())
            worker.batch_in_hand = _batch_in_hand(worker, Places(request, self.admin_site))
        return worker

    @admin.display(description="state")
    def worker_state(self, worker: Any) -> str:
        if _is_missing(worker):
            return labels.pill("missing", "missing")
        state = labels.pill(worker.state, worker.get_state_display())
        return format_html("{} {}", state, labels.pill("missing", "unknown to Redis")) if worker.is_unknown else state

    @admin.display(description="last heard of")
    def heard_of(self, worker: WorkerStatus) -> str:
        if _is_missing(worker):
            return format_html("not heard of for <strong>{}</strong>", labels.age(worker.heartbeat_at))
        return labels.ago(worker.heartbeat_at)

    @admin.display(description="in hand")
    def in_hand(self, worker: Any) -> str:
        count = f"{worker.claimed:,}"
        return format_html('<a href="{}">{}</a>', worker.tasks_url, count) if worker.tasks_url else count

    @admin.display(description="completed")
    def tasks_completed(self, worker: WorkerStatus) -> str:
        return f"{worker.completed:,}"

    @admin.display(description="failed")
    def tasks_failed(self, worker: WorkerStatus) -> str:
        return f"{worker.failed:,}"

    @admin.display(description="in hand")
    def batch_in_hand(self, worker: Any) -> str:
        batch: str = worker.batch_in_hand
        return batch

    @admin.display(description="speed")
    def speed(self, worker: WorkerStatus) -> str:
        """Over its whole life, its idle times too."""
        seconds = ((worker.stopped_at or worker.heartbeat_at) - worker.started_at).total_seconds()
        done = worker.completed + worker.failed
        return stats.per_second(done / seconds) if done and seconds >= 1 else labels.NONE

    @admin.display(description="started")
    def started(self, worker: WorkerStatus) -> str:
        return labels.ago(worker.started_at)

    @admin.display(description="what it means")
    def meaning(self, worker: Any) -> str:
        if _is_missing(worker):
            return MISSING
        meaning = MEANING[State(worker.state)]
        return f"{meaning} {UNKNOWN_TO_REDIS}" if worker.is_unknown else meaning


def _batch_in_hand(worker: WorkerStatus, places: Places) -> str:
    """What it holds by target, since when, with a link to the tasks."""
    held = stats.in_hand(worker.name)
    if not held:
        return "Nothing."
    url = _tasks_url(worker, places)
    tasks = ((f"{one.count:,}", one.target, labels.ago(one.since)) for one in held)
    listed = format_html_join("", "<li>{} of {}, the first taken {}</li>", tasks)
    link = format_html('<a href="{}">See these tasks</a>', url) if url else ""
    return format_html("<ul>{}</ul>{}", listed, link)


def _tasks_url(worker: WorkerStatus, places: Places) -> str:
    return places.listing("embeddingtask", status__exact=Status.PROCESSING.value, worker=worker.name)


def _is_unknown(worker: WorkerStatus, known: set[str] | None) -> bool:
    """Whether it is alive, and Redis can be asked, but does not know it."""
    is_alive = worker.state != State.STOPPED and not _is_missing(worker)
    return known is not None and is_alive and worker.name not in known


def _is_missing(worker: WorkerStatus) -> bool:
    """Whether it should be alive but is silent: it was killed, or cannot reach the database."""
    silent_seconds = (timezone.now() - worker.heartbeat_at).total_seconds()
    return worker.state != State.STOPPED and silent_seconds > ALIVE_SECONDS
