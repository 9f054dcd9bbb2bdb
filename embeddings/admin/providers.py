"""Providers: whether they may be called now, what they said last, and a button to call them at once."""

from __future__ import annotations

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_permission_codename
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import ngettext

from embeddings import operations
from embeddings.admin import labels
from embeddings.admin.buttons import ActionButtons
from embeddings.admin.readonly import ReadOnlyAdmin
from embeddings.models import ProviderState

Reason = ProviderState.Reason

MEANING = {
    Reason.RATE_LIMIT: "It asked to slow down, or its quota is used up. Its tasks wait and go on by themselves.",
    Reason.CIRCUIT: (
        "It failed several times in a row, and nothing is sent to it. It is asked for one harmless vector from time "
        "to time; once it answers, everything goes on by itself. No attempt is charged meanwhile."
    ),
    Reason.CONFIGURATION: (
        "It refuses every request: a wrong key, model or number of dimensions. "
        "Correct EMBEDDING_PROVIDERS and restart the workers; its tasks then go on by themselves."
    ),
}


@admin.register(ProviderState)
class ProviderStateAdmin(ActionButtons, ReadOnlyAdmin):
    """A provider is listed once something went wrong with it."""

    actions = ("resume_providers",)

    ordering = ("alias",)
    list_display = ("alias", "availability", "failures_in_a_row", "short_error", "updated")
    fields = ("alias", "explained_availability", "blocked_until", "failures_in_a_row", "last_error", "updated_at")

    @admin.display(description="state")
    def availability(self, state: ProviderState) -> str:
        if not state.blocked_reason:
            return labels.pill("available", "available")
        if state.blocked_until is not None and state.blocked_until <= timezone.now():
            return labels.pill("probing", "to be tried again now")
        return labels.pill(state.blocked_reason, f"blocked: {state.get_blocked_reason_display()}")

    @admin.display(description="state")
    def explained_availability(self, state: ProviderState) -> str:
        meaning = MEANING[Reason(state.blocked_reason)] if state.blocked_reason else "It may be called."
        return format_html("{} {} {}", self.availability(state), meaning, self.buttons(state))

    @admin.display(description="last error")
    def short_error(self, state: ProviderState) -> str:
        return labels.shortened(state.last_error)

    @admin.display(description="updated")
    def updated(self, state: ProviderState) -> str:
        return labels.ago(state.updated_at)

    @admin.action(description="Call selected providers again now", permissions=["resume"])
    def resume_providers(self, request: HttpRequest, queryset: QuerySet[ProviderState]) -> None:
        blocked = list(queryset.exclude(blocked_reason=""))
        resumed = [state for state in blocked if operations.resume_provider(state.alias)]
        if resumed:
            LogEntry.objects.log_actions(request.user.pk, resumed, CHANGE, "Called again by hand.")  # type: ignore[arg-type]
        done = ngettext("%d provider may be called again.", "%d providers may be called again.", len(resumed))
        message = done % len(resumed)
        if skipped := queryset.count() - len(resumed):
            message += f" {skipped} skipped: nothing blocked them."
        self.message_user(request, message, messages.SUCCESS if resumed else messages.WARNING)

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.{get_permission_codename('resume', self.opts)}")

    def possible_actions(self, obj: ProviderState) -> dict[str, str]:
        return {"resume_providers": "Call it again now"} if obj.blocked_reason else {}
