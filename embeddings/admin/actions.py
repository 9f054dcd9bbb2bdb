"""What operators do with tasks: retry and cancel, from the list and from a task's own page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_permission_codename
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import ngettext

from embeddings import operations
from embeddings.models import CANCELLABLE, RETRYABLE, EmbeddingTask, Status
from embeddings.operations import Changed

# Entries that one action writes to the admin's log at most.
LOGGED = 100

Tasks = QuerySet[EmbeddingTask]


class TaskActions(admin.ModelAdmin):  # type: ignore[type-arg]
    """The two actions, each behind a permission of its own."""

    actions = ("retry_tasks", "cancel_tasks")

    @admin.action(description="Retry selected tasks", permissions=["retry"])
    def retry_tasks(self, request: HttpRequest, queryset: Tasks) -> None:
        changed = self._operate(request, queryset, operations.retry, RETRYABLE, "Retried.")
        done = ngettext("%d task will be tried again.", "%d tasks will be tried again.", changed.changed)
        why = "only failed, cancelled, scheduled and rate limited tasks can be retried"
        report(self, request, changed, done, why)

    @admin.action(description="Cancel selected tasks", permissions=["cancel"])
    def cancel_tasks(self, request: HttpRequest, queryset: Tasks) -> None:
        changed = self._operate(request, queryset, operations.cancel, CANCELLABLE, "Cancelled.")
        done = ngettext("%d task was cancelled.", "%d tasks were cancelled.", changed.changed)
        report(self, request, changed, done, "only tasks that are not done yet can be cancelled")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return may(request, "retry")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return may(request, "cancel")

    def _operate(
        self,
        request: HttpRequest,
        queryset: Tasks,
        operation: Callable[[Tasks], Changed],
        statuses: tuple[Status, ...],
        entry: str,
    ) -> Changed:
        """Run it, and write to the admin's log which tasks it changed."""
        tasks = self._chosen(request, queryset).order_by()
        eligible = list(tasks.filter(status__in=statuses)[:LOGGED])
        changed = operation(tasks)
        if eligible and changed.changed:
            LogEntry.objects.log_actions(request.user.pk, eligible, CHANGE, entry)  # type: ignore[arg-type]
        return changed

    def _chosen(self, request: HttpRequest, queryset: Tasks) -> Tasks:
        """What was ticked, even if the list's filters do not match it any more since a worker has moved it on."""
        ticked = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if not ticked or request.POST.get("select_across") == "1":
            return queryset
        return self.get_queryset(request).filter(pk__in=ticked)


def may(request: HttpRequest, verb: str) -> bool:
    """Whether the user may do this to tasks, "retry" or "cancel"."""
    opts = EmbeddingTask._meta
    return request.user.has_perm(f"{opts.app_label}.{get_permission_codename(verb, opts)}")


def report(page: admin.ModelAdmin[Any], request: HttpRequest, changed: Changed, done: str, why: str) -> None:
    """Tell the user: `done` has a place for the number, `why` says what the skipped ones were."""
    message = done % changed.changed
    if changed.skipped:
        message += f" {changed.skipped} skipped: {why}."
    page.message_user(request, message, messages.SUCCESS if changed.changed else messages.WARNING)


def possible(task: EmbeddingTask) -> dict[str, str]:
    """The actions that could change this task, {name: label of the button}."""
    found: dict[str, Any] = {}
    if task.status in RETRYABLE:
        found["retry_tasks"] = "Retry"
    if task.status in CANCELLABLE:
        found["cancel_tasks"] = "Cancel"
    return found
