"""Operations in the background: how far they have read, what they have changed, and how far their vectors are."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_permission_codename
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import ngettext

from embeddings import operations, stats, task_filter
from embeddings.admin import labels, links, refreshing
from embeddings.admin.beginning import BeginPages
from embeddings.admin.buttons import ActionButtons
from embeddings.admin.listing import BoundedChangeList
from embeddings.admin.readonly import ReadOnlyAdmin
from embeddings.models import EmbeddingOperation

Kind = EmbeddingOperation.Kind
State = EmbeddingOperation.State

WAITING = "A worker takes it up in a moment; if none does, see that one is running."
FAILED = "It cannot go on. Once the cause below is gone, begin another."
MEANING = {
    State.WAITING: WAITING,
    State.RUNNING: "Workers read the rows and queue them. It may be stopped; what is queued stays.",
    State.DONE: "All rows are read. Their vectors are made in the batch's own time.",
    State.STOPPED: "Somebody stopped it; what was queued until then was queued.",
    State.FAILED: FAILED,
}
# Of operations on tasks.
MEANING_OF_TASKS = {
    State.WAITING: WAITING,
    State.RUNNING: "Workers go through the tasks that match. It may be stopped; what is done stays done.",
    State.DONE: "It went through all tasks that matched when it began.",
    State.STOPPED: "Somebody stopped it; what was done until then stays done.",
    State.FAILED: FAILED,
}
DONE = {Kind.RETRY: "retried", Kind.CANCEL: "cancelled", Kind.CLEAR: "cleared"}


class OperationChangeList(BoundedChangeList):
    """The list, with the progress of this page's batches counted at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        progress = stats.batch_progress([one.batch_id for one in self.result_list if one.batch_id])
        for operation in self.result_list:
            operation.progress = progress.get(operation.batch_id, stats.BatchProgress(0))


@admin.register(EmbeddingOperation)
class OperationAdmin(refreshing.RefreshingPage, ActionButtons, ReadOnlyAdmin, BeginPages):
    """One row an operation, the latest first."""

    actions = ("stop_operations",)

    list_display = ("name", "about", "pill", "rows", "result", "by", "created")
    list_per_page = 25
    fields = (
        "kind",
        "about",
        "explained_state",
        "shown_error",
        "rows",
        "result",
        "linked_batch",
        "priority",
        "by",
        "worker",
        "created_at",
        "started_at",
        "finished_at",
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Without what there is not."""
        empty = set() if obj is None or obj.target else {"linked_batch", "priority"}
        if obj is not None and not obj.error_message:
            empty.add("shown_error")
        return [name for name in super().get_fields(request, obj) if name not in empty]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return OperationChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        operation: Any = super().get_object(request, object_id, from_field)
        if operation is not None:
            progress = stats.batch_progress([operation.batch_id] if operation.batch_id else [])
            operation.progress = progress.get(operation.batch_id, stats.BatchProgress(0))
        return operation

    def is_moving(self, obj: Any) -> bool:
        return bool(obj.is_open or obj.progress.open)

    def possible_actions(self, obj: EmbeddingOperation) -> dict[str, str]:
        return {"stop_operations": "Stop"} if obj.is_open else {}

    @admin.action(description="Stop selected operations", permissions=["stop"])
    def stop_operations(self, request: HttpRequest, queryset: QuerySet[EmbeddingOperation]) -> None:
        stopped = []
        for operation in queryset.filter(finished_at=None):
            operations.stop(operation, by=request.user.get_username())
            if operation.state == State.STOPPED:
                stopped.append(operation)
        if stopped:
            LogEntry.objects.log_actions(request.user.pk, stopped, CHANGE, "Stopped.")  # type: ignore[arg-type]
        message = ngettext("%d operation was stopped.", "%d operations were stopped.", len(stopped)) % len(stopped)
        if skipped := queryset.count() - len(stopped):
            message += f" {skipped} skipped: they had ended."
        self.message_user(request, message, messages.SUCCESS if stopped else messages.WARNING)

    def has_stop_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.{get_permission_codename('stop', self.opts)}")

    @admin.display(description="state")
    def pill(self, operation: EmbeddingOperation) -> str:
        colour = {State.RUNNING: "processing", State.DONE: "completed"}.get(State(operation.state), operation.state)
        return labels.pill(colour, operation.get_state_display())

    @admin.display(description="state")
    def explained_state(self, operation: EmbeddingOperation) -> str:
        meaning = MEANING if operation.target else MEANING_OF_TASKS
        return format_html("{} {} {}", self.pill(operation), meaning[State(operation.state)], self.buttons(operation))

    @admin.display(description="error")
    def shown_error(self, operation: EmbeddingOperation) -> str:
        return format_html('<p class="embeddings-message">{}</p>', operation.error_message)

    @admin.display(description="operation")
    def name(self, operation: EmbeddingOperation) -> str:
        return f"{operation.get_kind_display()} #{operation.pk}"

    @admin.display(description="of what")
    def about(self, operation: EmbeddingOperation) -> str:
        """The target, or the filter in words."""
        about = task_filter.subject(operation)
        if conditions := operation.parameters.get("conditions"):
            about += f": what is {', '.join(conditions)}"
        return about[:1].upper() + about[1:] if not operation.target else about

    @admin.display(description="read")
    def rows(self, operation: EmbeddingOperation) -> str:
        total = max(operation.rows_total or 0, operation.rows_read)
        if not total:
            return labels.NONE
        bar = labels.progress_bar(operation.rows_read, total)
        about = "about " if operation.is_open else ""
        return format_html("{}, {} of {}{}", bar, f"{operation.rows_read:,}", about, f"{total:,}")

    @admin.display(description="result")
    def result(self, operation: Any) -> str:
        return self.vectors(operation) if operation.target else self.changes(operation)

    def changes(self, operation: EmbeddingOperation) -> str:
        """What became of the tasks that it has read: "500 of 500 retried"."""
        done = f"{operation.changed:,} of {operation.rows_read:,} {DONE[Kind(operation.kind)]}"
        passed = operation.rows_read - operation.changed
        why = "somebody holds them, or has moved them on" if operation.is_open else "somebody had moved them on"
        return f"{done}, {passed:,} skipped: {why}" if passed else done

    def vectors(self, operation: Any) -> str:
        """Of those queued so far. The time is for all that is still to come."""
        progress: stats.BatchProgress = operation.progress
        if not progress.total:
            return "nothing queued yet" if operation.is_open else "nothing was to be queued"
        bar = labels.progress_bar(progress.total - progress.open, progress.total)
        failed = f", {progress.failed:,} failed" if progress.failed else ""
        counted = f", {progress.done:,} of {progress.total:,} vectors made{failed}"
        is_moving = self.is_moving(operation)
        return format_html("{}{}{}", bar, counted, labels.left(stats.eta_seconds(operation, progress)) * is_moving)

    @admin.display(description="batch")
    def linked_batch(self, operation: EmbeddingOperation) -> str:
        if operation.batch is None:
            return labels.NONE
        return links.link(
            links.page_url(self.admin_site, "embeddingbatch_change", operation.batch_id), str(operation.batch)
        )

    @admin.display(description="begun")
    def created(self, operation: EmbeddingOperation) -> str:
        return labels.ago(operation.created_at)

    @admin.display(description="priority")
    def priority(self, operation: EmbeddingOperation) -> str:
        return str(operation.parameters.get("priority", labels.NONE))
