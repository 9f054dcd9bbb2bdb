"""Batches: named groups of tasks, and how far they are."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from embeddings import stats
from embeddings.admin import labels
from embeddings.admin.readonly import ReadOnlyAdmin
from embeddings.models import EmbeddingBatch, Status


class BatchChangeList(ChangeList):
    """The list, with the progress of this page's batches counted in one query."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        progress = stats.batch_progress([batch.pk for batch in self.result_list])
        for batch in self.result_list:
            batch.counted = progress[batch.pk]


@admin.register(EmbeddingBatch)
class BatchAdmin(ReadOnlyAdmin):
    """How far each batch is, counted from its tasks."""

    list_display = ("__str__", "progress_bar", "counts", "total", "created_at", "rolled_back_at")
    list_per_page = 25
    fields = (
        "name",
        "progress_bar",
        "counts",
        "total",
        "pretty_parameters",
        "created_at",
        "rolled_back_at",
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BatchChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> EmbeddingBatch | None:
        batch: EmbeddingBatch | None = super().get_object(request, object_id, from_field)
        if batch is not None:
            batch.counted = stats.batch_progress([batch.pk])[batch.pk]  # type: ignore[attr-defined]
        return batch

    @admin.display(description="progress")
    def progress_bar(self, batch: Any) -> str:
        total = sum(batch.counted.values())
        return labels.progress_bar(total - batch.counted["open"], total)

    @admin.display(description="tasks now")
    def counts(self, batch: Any) -> str:
        """Tasks that a later batch has requested again are counted there, so the sum may be less than `total`."""
        url = reverse("admin:embeddings_embeddingtask_changelist", current_app=self.admin_site.name)
        query = f"?batch={batch.pk}"
        parts = [self._link(f"{url}{query}", f"{sum(batch.counted.values()):,} in all")]
        for name, count in batch.counted.items():
            text = f"{count:,} {name}"
            if count and name in Status.values:
                parts.append(self._link(f"{url}{query}&status__exact={name}", text))
            elif count:
                parts.append(text)
        return format_html_join(", ", "{}", ((part,) for part in parts))

    def _link(self, url: str, text: str) -> str:
        return format_html('<a href="{}">{}</a>', url, text)

    @admin.display(description="parameters")
    def pretty_parameters(self, batch: EmbeddingBatch) -> str:
        return format_html('<pre class="embeddings-json">{}</pre>', json.dumps(batch.parameters, indent=2))
