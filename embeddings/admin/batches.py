"""Batches: named groups of tasks, and how far they are."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.translation import ngettext

from embeddings import operations, stats
from embeddings.admin import labels, links, refreshing
from embeddings.admin.actions import may, report
from embeddings.admin.buttons import ActionButtons
from embeddings.admin.listing import BoundedChangeList
from embeddings.admin.readonly import ReadOnlyAdmin
from embeddings.models import EmbeddingBatch, Status
from embeddings.operations import Changed


class BatchChangeList(BoundedChangeList):
    """The list, with the progress of this page's batches counted at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        progress = stats.batch_progress([batch.pk for batch in self.result_list])
        for batch in self.result_list:
            batch.progress = progress[batch.pk]


@admin.register(EmbeddingBatch)
class BatchAdmin(refreshing.RefreshingPage, ActionButtons, ReadOnlyAdmin):
    """How far each batch is, counted from its tasks."""

    actions = ("retry_failed",)

    list_display = ("__str__", "progress_bar", "counts", "total", "created", "rolled_back_at")
    list_per_page = 25
    fields = (
        "name",
        "progress_bar",
        "counts",
        "total",
        "pretty_parameters",
        "created_at",
        "finished_at",
        "rolled_back_at",
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BatchChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        batch: Any = super().get_object(request, object_id, from_field)
        if batch is not None:
            batch.progress = stats.batch_progress([batch.pk])[batch.pk]
            batch.buttons = batch.buttons if batch.progress.failed else {}
        return batch

    def is_moving(self, obj: Any) -> bool:
        return bool(obj.progress.open)

    def possible_actions(self, obj: EmbeddingBatch) -> dict[str, str]:
        return {"retry_failed": "Retry the failed tasks"}

    @admin.action(description="Retry the failed tasks of selected batches", permissions=["retry"])
    def retry_failed(self, request: HttpRequest, queryset: QuerySet[EmbeddingBatch]) -> None:
        batches = list(queryset)
        changes = [operations.retry_failed(batch, by=request.user.get_username()) for batch in batches]
        changed = Changed(sum(one.changed for one in changes), sum(one.skipped for one in changes))
        retried = [batch for batch, one in zip(batches, changes, strict=True) if one.changed]
        if retried:
            entry = "Retried its failed tasks."
            LogEntry.objects.log_actions(request.user.pk, retried, CHANGE, entry)  # type: ignore[arg-type]
        done = ngettext("%d task will be tried again.", "%d tasks will be tried again.", changed.changed)
        report(self, request, changed, done, "they have moved on since")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return may(request, "retry")

    @admin.display(description="progress")
    def progress_bar(self, batch: Any) -> str:
        progress: stats.BatchProgress = batch.progress
        bar = labels.progress_bar(progress.total - progress.open, progress.total)
        return format_html("{}{}", bar, labels.left(progress.eta_seconds)) if progress.open else bar

    @admin.display(description="tasks now")
    def counts(self, batch: Any) -> str:
        """Those that were requested anew since they were done, or whose objects are gone, are counted no more."""
        counts = {name: getattr(batch.progress, name) for name in ("open", "done", "failed", "cancelled")}
        parts = [self._link(batch, f"{sum(counts.values()):,} in all")]
        for name, count in counts.items():
            text = f"{count:,} {name}"
            if count and name in Status.values:
                parts.append(self._link(batch, text, status__exact=name))
            elif count:
                parts.append(text)
        return format_html("{} {}", format_html_join(", ", "{}", ((part,) for part in parts)), self.buttons(batch))

    def _link(self, batch: EmbeddingBatch, text: str, **query: str) -> str:
        return links.link(links.tasks_url(self.admin_site, batch=str(batch.pk), **query), text)

    @admin.display(description="created")
    def created(self, batch: EmbeddingBatch) -> str:
        return labels.ago(batch.created_at)

    @admin.display(description="finished")
    def finished_at(self, batch: Any) -> str:
        return labels.ago(batch.progress.finished_at)

    @admin.display(description="parameters")
    def pretty_parameters(self, batch: EmbeddingBatch) -> str:
        return format_html('<pre class="embeddings-json">{}</pre>', json.dumps(batch.parameters, indent=2))
