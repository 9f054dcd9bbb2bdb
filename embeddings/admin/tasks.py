"""The tasks: what is embedded, what waits, what failed and why."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from embeddings import registry
from embeddings.admin import boxes, explanations, labels, ordering, searching
from embeddings.admin.actions import TaskActions, possible
from embeddings.admin.buttons import ActionButtons
from embeddings.admin.filters import (
    BatchFilter,
    ErrorKindFilter,
    FieldFilter,
    ModelFilter,
    SignatureFilter,
    TaskProviderFilter,
    WorkerFilter,
)
from embeddings.admin.links import attach_object_urls, linked, loaded_object, object_name, object_title
from embeddings.admin.listing import BoundedChangeList
from embeddings.admin.readonly import ReadOnlyAdmin
from embeddings.admin.timeline import timeline
from embeddings.models import IS_BOXED, OPEN, EmbeddingTask, Status


class TaskChangeList(BoundedChangeList):
    """The list, with the links of this page's rows found at once."""

    too_many = "Too many tasks to look through with these filters: add a state, an error or a batch."

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        attach_object_urls(self.result_list, request, self.model_admin.admin_site)


@admin.register(EmbeddingTask)
class TaskAdmin(ActionButtons, ReadOnlyAdmin, TaskActions):
    """The list loads no objects, only links to them; a task's own page shows the object by its title."""

    list_display = (
        "state",
        "embedded_object",
        "field",
        "error",
        "attempts",
        "waiting",
        "updated",
        "priority",
    )
    list_filter = (
        "status",
        ModelFilter,
        FieldFilter,
        ErrorKindFilter,
        TaskProviderFilter,
        BatchFilter,
        SignatureFilter,
        WorkerFilter,
    )
    # Any name switches the search box on; get_search_results() does the search.
    search_fields = ("object_id",)
    search_help_text = searching.HELP
    fieldsets = (
        (None, {"fields": ("titled_object", "target_label", "explained_state", "explained_error")}),
        ("What happened", {"fields": ("history",), "classes": ("embeddings-wide",)}),
        ("How it went", {"fields": (("attempts", "crashes"), ("tokens", "tokens_estimated"), "is_truncated")}),
        (
            "When",
            {
                "fields": (
                    ("priority", "batch"),
                    ("requested_at", "updated_at"),
                    ("claimed_at", "completed_at"),
                    ("created_at", "available_at"),
                )
            },
        ),
        ("By whom", {"fields": (("named_provider", "worker"), "lease_until")}),
        ("Which text", {"fields": ("version", "fingerprint", ("model_id", "dimensions"))}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[EmbeddingTask]:
        """What waits in boxes is loaded for its own page only."""
        tasks: QuerySet[EmbeddingTask] = super().get_queryset(request)
        return tasks.defer("payload").annotate(is_boxed=IS_BOXED)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        return [*fieldsets, ("Box", {"fields": ("boxed_values",)})] if obj is not None and obj.is_boxed else fieldsets

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        order = "by key" if ordering.is_by_key(request.GET) else "the latest first"
        return super().changelist_view(request, {"title": f"Embedding tasks, {order}", **(extra_context or {})})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return TaskChangeList

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ordering.BY_KEY if ordering.is_by_key(request.GET) else self.ordering

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """The field is worth a column where there are several."""
        fields = {target.field for target in registry.all_derived()}
        return [name for name in self.list_display if name != "field" or len(fields) > 1]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[EmbeddingTask], search_term: str
    ) -> tuple[QuerySet[EmbeddingTask], bool]:
        return (searching.find(queryset, search_term) if search_term.strip() else queryset), False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        task: Any = super().get_object(request, object_id, from_field)
        if task is not None:
            attach_object_urls([task], request, self.admin_site)
            task.object_title = "" if task.is_boxed else object_title(task, request)
            task.boxed_values = boxes.shown_values(task, request) if task.is_boxed else ""
        return task

    def possible_actions(self, obj: EmbeddingTask) -> dict[str, str]:
        return possible(obj)

    @admin.display(description="status")
    def state(self, task: EmbeddingTask) -> str:
        return labels.pill(task.status, task.get_status_display())

    @admin.display(description="object")
    def embedded_object(self, task: EmbeddingTask) -> str:
        return linked(task, object_name(task))

    @admin.display(description="error")
    def error(self, task: EmbeddingTask) -> str:
        if not task.error_kind:
            return labels.NONE
        status = f", HTTP {task.error_status}" if task.error_status else ""
        return labels.shortened(f"{task.error_kind.replace('_', ' ')}{status}: {task.error_message}")

    @admin.display(description="updated")
    def updated(self, task: EmbeddingTask) -> str:
        return labels.ago(task.updated_at)

    @admin.display(description="waiting")
    def waiting(self, task: EmbeddingTask) -> str:
        """For how long the vector has been asked for; nothing of what is done or has ended."""
        return labels.since(task.requested_at) if task.status in OPEN else labels.NONE

    @admin.display(description="object")
    def titled_object(self, task: Any) -> str:
        if task.is_boxed:
            return format_html("{} (boxed: not stored yet)", object_name(task))
        if loaded_object(task) is None:
            return format_html("{} (there is no such object any more)", object_name(task))
        if not task.object_title:
            return object_name(task)
        return format_html("{} ({})", linked(task, task.object_title), object_name(task))

    @admin.display(description="values")
    def boxed_values(self, task: Any) -> str:
        values: str = task.boxed_values
        return values

    @admin.display(description="target")
    def target_label(self, task: EmbeddingTask) -> str:
        return task.target_label

    @admin.display(description="status")
    def explained_state(self, task: EmbeddingTask) -> str:
        explanation = explanations.STATUS[Status(task.status)]
        return format_html("{} {} {}", self.state(task), explanation, self.buttons(task))

    @admin.display(description="error")
    def explained_error(self, task: Any) -> str:
        if not task.error_kind:
            return labels.NONE
        return format_html(
            '<p class="embeddings-message"><strong>{}</strong> ({}{})<br>{}</p><p>{}</p>',
            task.error_class,
            task.error_kind.replace("_", " "),
            f", HTTP {task.error_status}" if task.error_status else "",
            task.error_message,
            explanations.of_error(task.error_kind, is_boxed=task.is_boxed),
        )

    @admin.display(description="what happened")
    def history(self, task: EmbeddingTask) -> str:
        return timeline(task)

    @admin.display(description="provider")
    def named_provider(self, task: EmbeddingTask) -> str:
        return task.provider or "none: this task splits a text"

    @admin.display(description="truncated")
    def is_truncated(self, task: EmbeddingTask) -> str:
        return "yes, the text was longer than the model takes" if task.truncated else "no"
