"""What operators do with tasks: retry, cancel and clear, from the list and from a task's own page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import ngettext

from embeddings import operations
from embeddings.admin.bulk import BulkPages, may, redirect_to_bulk
from embeddings.models import CANCELLABLE, CLEARABLE, RETRYABLE, EmbeddingTask
from embeddings.operations import Changed

__all__ = ["TaskActions", "may", "possible", "report"]

# Entries that one action writes to the admin's log at most.
LOGGED = 100
# Tasks that an action changes while the user waits; more are an operation's.
MOST_AT_ONCE = 1_000

Tasks = QuerySet[EmbeddingTask]


class TaskActions(BulkPages):
    """The actions on ticked tasks, each behind a permission of its own."""

    actions = ("retry_tasks", "cancel_tasks", "clear_tasks")

    @admin.action(description="Retry selected tasks", permissions=["retry"])
    def retry_tasks(self, request: HttpRequest, queryset: Tasks) -> HttpResponse | None:
        if _are_too_many(request, queryset):
            return redirect_to_bulk(self, request, "retry")
        changed = self._operate(request, queryset, operations.retry, Q(status__in=RETRYABLE), "Retried.")
        done = ngettext("%d task will be tried again.", "%d tasks will be tried again.", changed.changed)
        why = "only failed, cancelled, scheduled and rate limited tasks can be retried"
        report(self, request, changed, done, why)
        return None

    @admin.action(description="Cancel selected tasks", permissions=["cancel"])
    def cancel_tasks(self, request: HttpRequest, queryset: Tasks) -> HttpResponse | None:
        if _are_too_many(request, queryset):
            return redirect_to_bulk(self, request, "cancel")
        changed = self._operate(request, queryset, operations.cancel, Q(status__in=CANCELLABLE), "Cancelled.")
        done = ngettext("%d task was cancelled.", "%d tasks were cancelled.", changed.changed)
        report(self, request, changed, done, "only tasks that are not done yet can be cancelled")
        return None

    @admin.action(description="Clear selected tasks from the ledger", permissions=["clear"])
    def clear_tasks(self, request: HttpRequest, queryset: Tasks) -> HttpResponse | None:
        if _are_too_many(request, queryset):
            return redirect_to_bulk(self, request, "clear")
        fit = Q(status__in=CLEARABLE, payload__isnull=True)
        changed = self._operate(request, queryset, operations.clear, fit, "Cleared from the ledger.")
        done = ngettext("%d task was cleared.", "%d tasks were cleared.", changed.changed)
        why = "only failed and cancelled tasks can be cleared, and none that holds an object that is not stored yet"
        report(self, request, changed, done, why)
        return None

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return may(request, "retry")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return may(request, "cancel")

    def has_clear_permission(self, request: HttpRequest) -> bool:
        return may(request, "clear")

    def _operate(
        self,
        request: HttpRequest,
        queryset: Tasks,
        operation: Callable[..., Changed],
        fit: Q,
        entry: str,
    ) -> Changed:
        """Run it, and write to the admin's log which tasks it changed."""
        tasks = self._chosen(request, queryset).order_by()
        eligible = list(tasks.filter(fit)[:LOGGED])
        changed = operation(tasks, by=request.user.get_username())
        if eligible and changed.changed:
            LogEntry.objects.log_actions(request.user.pk, eligible, CHANGE, entry)  # type: ignore[arg-type]
        return changed

    def _chosen(self, request: HttpRequest, queryset: Tasks) -> Tasks:
        """What was ticked, even if the list's filters do not match it any more since a worker has moved it on."""
        ticked = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if not ticked or request.POST.get("select_across") == "1":
            return queryset
        return self.get_queryset(request).filter(pk__in=ticked)


def _are_too_many(request: HttpRequest, tasks: Tasks) -> bool:
    is_all = request.POST.get("select_across") == "1"
    return is_all and tasks.order_by()[: MOST_AT_ONCE + 1].count() > MOST_AT_ONCE


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
