"""The audit log: who did what, and what happened by itself that somebody may ask about later."""

from __future__ import annotations

import json

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from embeddings.admin import labels
from embeddings.admin.readonly import SharedAdmin
from embeddings.models import AuditEvent

Kind = AuditEvent.Kind

# A search reads so many entries, the latest; no index would be worth its writes.
SEARCHED = 100_000

# Pills by what it was; all others are plain.
COLOURS = {
    Kind.PAUSED: "rate_limited",
    Kind.RESUMED: "available",
    Kind.BLOCKED: "circuit",
    Kind.UNBLOCKED: "available",
    Kind.ALERT: "failed",
    Kind.ALERT_OVER: "available",
}


@admin.register(AuditEvent)
class AuditEventAdmin(SharedAdmin):
    """The latest first. Nobody changes it."""

    list_display = ("what", "when", "sentence")
    list_filter = ("kind",)
    # Any name switches the search box on; get_search_results() does the search.
    search_fields = ("subject",)
    search_help_text = (
        f"A user, or what an entry is about, exactly as it is: of the latest {SEARCHED:,} entries. "
        "Examples: provider default, task 12, content.article.embedding."
    )
    fields = ("what", "message", "about", "who", "created_at", "pretty_details")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent], search_term: str
    ) -> tuple[QuerySet[AuditEvent], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        latest = self.get_queryset(request).order_by("-pk").values_list("pk", flat=True).first() or 0
        return queryset.filter(Q(subject=term) | Q(by=term), pk__gt=latest - SEARCHED), False

    @admin.display(description="what")
    def what(self, event: AuditEvent) -> str:
        kind = Kind(event.kind) if event.kind in Kind.values else None
        return labels.pill(COLOURS.get(kind, "empty") if kind else "empty", event.get_kind_display())

    @admin.display(description="message")
    def sentence(self, event: AuditEvent) -> str:
        """With what it is about, and whose doing it was, on a line of their own."""
        about, by = event.subject and f"about {event.subject}", event.by and f"by {event.by}"
        below = ", ".join(filter(None, [about, by]))
        return format_html('{}<div class="quiet">{}</div>', event.message, below) if below else event.message

    @admin.display(description="about")
    def about(self, event: AuditEvent) -> str:
        return event.subject or labels.NONE

    @admin.display(description="by")
    def who(self, event: AuditEvent) -> str:
        return event.by or labels.NONE

    @admin.display(description="when")
    def when(self, event: AuditEvent) -> str:
        return labels.ago(event.created_at)

    @admin.display(description="details")
    def pretty_details(self, event: AuditEvent) -> str:
        if not event.details:
            return labels.NONE
        details = json.dumps(event.details, indent=2, ensure_ascii=False)
        return format_html('<pre class="embeddings-json">{}</pre>', details)
