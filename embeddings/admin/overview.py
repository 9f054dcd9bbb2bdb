"""The overview: how things stand, what to do, and the way to every other page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from embeddings import conf, stats
from embeddings.admin import labels, panels, traffic_charts
from embeddings.admin.places import Places
from embeddings.admin.readonly import ReadOnlyAdmin
from embeddings.models import Overview
from embeddings.stats.census import coverage
from embeddings.stats.failures import failures

SECONDS = 5
# What the pages that a condition leads to are called.
PAGES = {
    "embeddingtask": "tasks",
    "failuregroup": "failures",
    "pause": "pauses",
    "providerstate": "providers",
    "webhookendpoint": "webhook endpoints",
    "workerstatus": "workers",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """How somebody looks at the page: all of it is in the address."""

    hours: int = 1
    # The figures of the charts in place of the charts.
    as_table: bool = False
    # Whether the page loads itself anew.
    is_live: bool = True

    @classmethod
    def of(cls, request: HttpRequest) -> Choice:
        """What the address asks for; what it does not, or wrongly, is as usual."""
        hours = {str(hours): hours for hours in traffic_charts.SPANS}.get(request.GET.get("hours", ""), 1)
        return cls(hours, request.GET.get("charts") == "table", request.GET.get("refresh") != "off")

    def address(self, **changes: Any) -> str:
        """The query string that asks for this, with changes."""
        asked = replace(self, **changes)
        query: dict[str, Any] = {}
        if asked.hours != 1:
            query["hours"] = asked.hours
        if asked.as_table:
            query["charts"] = "table"
        if not asked.is_live:
            query["refresh"] = "off"
        return f"?{urlencode(query)}"


@admin.register(Overview)
class OverviewAdmin(ReadOnlyAdmin):
    """One page, at the place of a list. Whoever may see the tasks may see it."""

    class Media:
        css = {"all": ["embeddings/admin.css", "embeddings/overview.css"]}

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name="embeddings_overview_changelist")]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("embeddings.view_embeddingtask")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        choice = Choice.of(request)
        context = {
            **self.admin_site.each_context(request),
            "title": "Overview",
            "opts": self.opts,
            "media": self.media,
            "choice": choice,
            **_ways(choice),
            **_content(Places(request, self.admin_site), choice),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "embeddings/admin/overview.html", context)


def _ways(choice: Choice) -> dict[str, Any]:
    """How else the page may be looked at, and whether it can load itself anew."""
    return {
        "spans": [
            {"name": f"{hours} h", "url": choice.address(hours=hours), "is_chosen": hours == choice.hours}
            for hours in traffic_charts.SPANS
        ],
        "address": choice.address(),
        "other_form": choice.address(as_table=not choice.as_table),
        "other_refresh": choice.address(is_live=not choice.is_live),
        "has_htmx": apps.is_installed("django_htmx"),
        "seconds": SECONDS,
    }


def _content(places: Places, choice: Choice) -> dict[str, Any]:
    """All panels. None reads more of a longer ledger."""
    now = stats.situation()
    worst, *others = [
        {
            "condition": one,
            "url": places.listing(one.page) if one.page else "",
            "page": PAGES.get(one.page, one.page),
        }
        for one in stats.conditions(now)
    ]
    return {
        "worst": worst,
        "others": others,
        "alerts": panels.alerts(),
        "alerts_url": places.listing("alert"),
        "numbers": panels.numbers(now),
        "counts": panels.counts(now, places),
        "counted": labels.ago(now.counts.counted_at) if now.counts.counted_at else "",
        "is_estimate": now.counts.is_estimate,
        "coverage": panels.coverage(coverage(), places),
        "charts": traffic_charts.task_charts(choice.hours, as_table=choice.as_table),
        "providers": traffic_charts.providers(now, choice.hours, places, as_table=choice.as_table),
        "failures": panels.failures(failures(), places),
        "workers": panels.workers(now, places),
        "operations": panels.operations(places),
        "pauses": panels.pauses(now, places),
        "redis": panels.redis(now, places),
        "health": panels.health(),
        "databases": len(conf.current().databases),
    }
