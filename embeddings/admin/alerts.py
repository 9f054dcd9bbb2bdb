"""Alerts: what needs an operator now, and what has."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from embeddings.admin import labels
from embeddings.admin.filters import Choices
from embeddings.admin.links import link, page_url
from embeddings.admin.readonly import SharedAdmin
from embeddings.models import Alert

# The list that tells more of each kind: (model, query, what it is called).
PAGES: dict[str, tuple[str, dict[str, str], str]] = {
    Alert.Kind.FAILED: ("failuregroup", {}, "failures"),
    Alert.Kind.WAITING: ("embeddingtask", {"status__exact": "pending"}, "waiting tasks"),
    Alert.Kind.NO_WORKER: ("workerstatus", {}, "workers"),
    Alert.Kind.PROVIDER: ("providerstate", {}, "providers"),
}


class OpenFilter(admin.SimpleListFilter):
    """What is still so, or what is over."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        return [("open", "open"), ("over", "over")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        value = self.value()
        if value is None:
            return queryset
        return queryset.filter(over_at__isnull=value == "open") if value in {"open", "over"} else queryset.none()


@admin.register(Alert)
class AlertAdmin(SharedAdmin):
    """The latest first."""

    list_display = ("state", "message", "where", "raised", "lasted")
    list_filter = (OpenFilter, "kind")
    fields = ("state", "name", "message", "where", "raised_at", "over_at", "lasted")

    @admin.display(description="state")
    def state(self, alert: Alert) -> str:
        return labels.pill("available", "over") if alert.over_at else labels.pill("failed", "open")

    @admin.display(description="alert")
    def name(self, alert: Alert) -> str:
        kind = alert.get_kind_display()
        return format_html("{}: {}", kind, alert.subject) if alert.subject else kind

    @admin.display(description="see")
    def where(self, alert: Alert) -> str:
        """A link to the page that tells more."""
        page, query, text = PAGES[Alert.Kind(alert.kind)]
        url = page_url(self.admin_site, f"{page}_changelist", **query)
        return format_html('<span class="embeddings-one-line">{}</span>', link(url, text))

    @admin.display(description="raised")
    def raised(self, alert: Alert) -> str:
        return labels.ago(alert.raised_at)

    @admin.display(description="lasted")
    def lasted(self, alert: Alert) -> str:
        if alert.over_at is None:
            return f"{labels.age(alert.raised_at)} up to now"
        return labels.duration((alert.over_at - alert.raised_at).total_seconds())
