"""Providers: whether they may be called now, and what they said last."""

from __future__ import annotations

from django.contrib import admin
from django.utils import timezone

from embeddings.admin import labels
from embeddings.admin.readonly import ReadOnlyAdmin
from embeddings.models import ProviderState

Reason = ProviderState.Reason

MEANING = {
    Reason.RATE_LIMIT: "It asked to slow down. Its tasks wait and go on by themselves.",
    Reason.CIRCUIT: "It failed several times in a row. One task will show whether it works again.",
    Reason.CONFIGURATION: (
        "It refuses every request: a wrong key, model or number of dimensions. "
        "Correct EMBEDDING_PROVIDERS and restart the workers; its tasks then go on by themselves."
    ),
}


@admin.register(ProviderState)
class ProviderStateAdmin(ReadOnlyAdmin):
    """A provider is listed once something went wrong with it."""

    ordering = ("alias",)
    list_display = ("alias", "availability", "failures_in_a_row", "short_error", "updated")
    fields = ("alias", "availability", "meaning", "blocked_until", "failures_in_a_row", "last_error", "updated_at")

    @admin.display(description="state")
    def availability(self, state: ProviderState) -> str:
        if not state.blocked_reason:
            return labels.pill("available", "available")
        if state.blocked_until is not None and state.blocked_until <= timezone.now():
            return labels.pill("probing", "to be tried again now")
        return labels.pill(state.blocked_reason, f"blocked: {state.get_blocked_reason_display()}")

    @admin.display(description="what it means")
    def meaning(self, state: ProviderState) -> str:
        return MEANING[Reason(state.blocked_reason)] if state.blocked_reason else "It may be called."

    @admin.display(description="last error")
    def short_error(self, state: ProviderState) -> str:
        return labels.shortened(state.last_error)

    @admin.display(description="updated")
    def updated(self, state: ProviderState) -> str:
        return labels.ago(state.updated_at)
