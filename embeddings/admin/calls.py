"""Requests to providers: what each took and cost."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from embeddings import conf
from embeddings.admin import labels
from embeddings.admin.filters import OutcomeFilter, ProviderFilter
from embeddings.admin.readonly import SharedAdmin
from embeddings.models import ProviderCall


@admin.register(ProviderCall)
class ProviderCallAdmin(SharedAdmin):
    """One row a request, the latest first."""

    list_display = ("sent", "result", "provider", "model_id", "inputs", "tokens", "dollars", "latency")
    list_filter = (OutcomeFilter, ProviderFilter)
    fields = ("created_at", "provider", "model_id", "result", "inputs", "tokens", "dollars", "latency", "worker")

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """The provider is worth a column where there are several."""
        return [name for name in self.list_display if name != "provider" or len(conf.provider_aliases()) > 1]

    @admin.display(description="outcome")
    def result(self, call: ProviderCall) -> str:
        return labels.pill("available" if call.outcome == "ok" else call.outcome, call.outcome.replace("_", " "))

    @admin.display(description="sent")
    def sent(self, call: ProviderCall) -> str:
        return labels.ago(call.created_at)

    @admin.display(description="cost")
    def dollars(self, call: ProviderCall) -> str:
        return labels.NONE if call.cost is None else f"${call.cost.normalize():f}"

    @admin.display(description="latency")
    def latency(self, call: ProviderCall) -> str:
        return f"{call.latency_ms:,} ms"
