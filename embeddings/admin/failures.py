"""What went wrong: failed tasks in groups, what to do about each, and the buttons that do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import DEFAULT_DB_ALIAS
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from embeddings import stats
from embeddings.admin import explanations, labels, links
from embeddings.admin.actions import may
from embeddings.admin.counting import AtLeast
from embeddings.admin.readonly import ReadOnlyAdmin
from embeddings.models import EmbeddingTask, FailureGroup, Status


@dataclass(frozen=True, slots=True)
class Example:
    """A failed task as it is listed."""

    name: str
    # Of the object, for who may view it; else "".
    title: str
    # Of the task's page, if it has one; else "".
    url: str


@dataclass(frozen=True, slots=True)
class Group:
    """Failures as their page shows them."""

    failures: stats.Failures
    # "500 tasks", and "500"; "" for one.
    tasks: str
    count: str
    heading: str
    advice: str
    first_seen: str
    last_seen: str
    examples: list[Example]
    # Of another database than the one whose tasks have pages; else "".
    database: str
    list_url: str = ""
    # "" for who may not.
    retry_url: str = ""
    cancel_url: str = ""
    clear_url: str = ""


@admin.register(FailureGroup)
class FailureGroupAdmin(ReadOnlyAdmin):
    """One page, that of the groups."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name=f"{self.opts.app_label}_{self.opts.model_name}_changelist")]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "view")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = stats.failures()
        links.attach_objects([task for failures in found for task in failures.examples], request)
        context = {
            **self.admin_site.each_context(request),
            "title": "Failures",
            "opts": self.opts,
            "media": self.media,
            "groups": [self._group(failures, request) for failures in found],
            "total": _tasks(sum(one.count for one in found), any(one.is_at_least for one in found)),
            "most": stats.MOST_GROUPS if len(found) >= stats.MOST_GROUPS else 0,
            "failed_url": links.tasks_url(self.admin_site, status__exact=Status.FAILED),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "embeddings/admin/failures.html", context)

    def _group(self, failures: stats.Failures, request: HttpRequest) -> Group:
        return Group(
            failures=failures,
            tasks=_tasks(failures.count, failures.is_at_least),
            count="" if failures.count == 1 else _count(failures.count, failures.is_at_least),
            heading=explanations.BRIEFLY.get(failures.error_kind, "failed"),
            advice=explanations.of_error(failures.error_kind),
            first_seen=labels.ago(failures.first_seen),
            last_seen=labels.ago(failures.last_seen),
            examples=[self._example(task, request) for task in failures.examples],
            database="" if failures.using == DEFAULT_DB_ALIAS else failures.using,
            **self._urls(failures, request),
        )

    def _urls(self, failures: stats.Failures, request: HttpRequest) -> dict[str, str]:
        """Where to see, retry, cancel and clear exactly the tasks of a group; nowhere for those of other databases."""
        if failures.using != DEFAULT_DB_ALIAS:
            return {}
        site = self.admin_site
        chosen = {"status__exact": str(Status.FAILED), "signature": failures.signature}
        verbs = [verb for verb in ("retry", "cancel", "clear") if may(request, verb)]
        bulk = {f"{verb}_url": links.bulk_url(verb, site, **chosen) for verb in verbs}
        return {"list_url": links.tasks_url(site, **chosen), **bulk}

    def _example(self, task: EmbeddingTask, request: HttpRequest) -> Example:
        title = links.object_title(task, request) if "target_object" in task.__dict__ else ""
        return Example(links.object_name(task), title, links.task_url(task, self.admin_site))


def _tasks(count: int, is_at_least: bool) -> str:
    return "1 task" if count == 1 else f"{_count(count, is_at_least)} tasks"


def _count(count: int, is_at_least: bool) -> str:
    return str(AtLeast(count)) if is_at_least else f"{count:,}"
