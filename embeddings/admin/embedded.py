"""An object's embedding on the object's own admin page: its state and history, and a button that makes it anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import DEFAULT_DB_ALIAS, models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst

from embeddings import conf, registry, renewal, stats
from embeddings.admin import explanations, labels, links
from embeddings.admin.actions import may
from embeddings.models import EmbeddingTask, Status
from embeddings.registry import Derived, Splitting
from embeddings.stats import Standing


class EmbeddedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """For the ModelAdmin of an embedded model: a block on the change page, whatever its fieldsets and templates are."""

    class Media:
        css = {"all": ["embeddings/admin.css"]}

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.embed_again_view)
        return [path("<path:object_id>/embed-again/<str:field>/", view, name=self._url_name), *super().get_urls()]

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        if obj is not None and _is_recorded(obj):
            self._add_panel(request, context["adminform"], obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def embed_again_view(self, request: HttpRequest, object_id: str, field: str) -> HttpResponse:
        """Ask; then open the task, and lead back to the object."""
        obj: models.Model | None = self.get_object(request, unquote(object_id))
        if obj is None or not _is_recorded(obj):
            raise Http404
        target = next((each for each in registry.derived_for(type(obj)) if each.field == field), None)
        if target is None:
            raise Http404
        if not (self.has_view_or_change_permission(request, obj) and may(request, "retry")):
            raise PermissionDenied
        if request.method == "POST":
            self._embed_again(request, target, obj)
            return HttpResponseRedirect(self._url("change", obj))
        context = {
            **self.admin_site.each_context(request),
            "title": "Embed again",
            "opts": self.opts,
            "object": obj,
            "name": _label(target),
            "is_split": isinstance(target, Splitting),
            "back_url": self._url("change", obj),
            "media": self.media,
        }
        return TemplateResponse(request, "embeddings/admin/embed_again.html", context)

    def _embed_again(self, request: HttpRequest, target: Derived, obj: models.Model) -> None:
        if not renewal.renew(target, obj, by=request.user.get_username()):
            self.message_user(request, f"{obj} is gone.", messages.WARNING)
            return
        self.log_change(request, obj, f"Embedded again: {target.field}.")
        if obj._state.db == DEFAULT_DB_ALIAS:  # the log has no place for tasks of other databases
            key = {"object_id": target.object_id(obj), "field": target.field}
            task = EmbeddingTask.objects.filter(content_type_id=target.content_type_id(DEFAULT_DB_ALIAS), **key)
            LogEntry.objects.log_actions(request.user.pk, list(task), CHANGE, "Embedded again.")  # type: ignore[arg-type]
        self.message_user(request, f"{obj} will be embedded again, ahead of everything else.", messages.SUCCESS)

    def _add_panel(self, request: HttpRequest, form: Any, obj: models.Model) -> None:
        """Behind the fieldsets, whoever made them. Each target is a read-only field."""
        fields = [self._field(request, standing, obj) for standing in stats.standings(obj)]
        if fields:
            form.fieldsets = [*form.fieldsets, ("Embedding", {"fields": fields, "classes": ("embeddings-panel",)})]
            form.readonly_fields = [*form.readonly_fields, *fields]

    def _field(self, request: HttpRequest, standing: Standing, obj: models.Model) -> Callable[[Any], str]:
        html = render_to_string("embeddings/admin/panel.html", self._shown(request, standing, obj))

        def embeddings_panel(_: Any) -> str:
            return html

        embeddings_panel.short_description = _label(standing.target)  # type: ignore[attr-defined]
        return embeddings_panel

    def _shown(self, request: HttpRequest, standing: Standing, obj: models.Model) -> dict[str, Any]:
        task = standing.task
        return {
            "task": task,
            "pill": labels.pill(task.status, task.get_status_display()) if task else labels.pill("empty", "no task"),
            "meaning": explanations.STATUS[Status(task.status)] if task else explanations.NO_TASK,
            "advice": explanations.of_error(task.error_kind) if task else "",
            "vector": _described(standing),
            "task_url": links.task_url(task, self.admin_site) if task and may(request, "view") else "",
            "again_url": self._url(self._url_name, obj, standing.target.field) if may(request, "retry") else "",
        }

    @property
    def _url_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_embed_again"

    def _url(self, name: str, obj: models.Model, *args: str) -> str:
        if name == "change":
            name = f"{self.opts.app_label}_{self.opts.model_name}_change"
        return reverse(f"admin:{name}", args=[quote(obj.pk), *args], current_app=self.admin_site.name)


def _is_recorded(obj: models.Model) -> bool:
    settings = conf.current()
    return settings.enabled and (obj._state.db or DEFAULT_DB_ALIAS) in settings.databases


def _label(target: Derived) -> str:
    """What is made: "Merchant embedding", "Chunks"."""
    return "Chunks" if isinstance(target, Splitting) else str(capfirst(target.vector_field.verbose_name))  # type: ignore[attr-defined]


def _described(standing: Standing) -> str:
    """What is there now, in a sentence."""
    task, chunks = standing.task, standing.chunks
    if chunks is not None:
        failed = f", {chunks.failed} failed" if chunks.failed else ""
        return f"{chunks}{failed}." if chunks.total else ""
    if isinstance(standing.target, Splitting) or (task and task.status == Status.EMPTY):
        return ""
    if not standing.has_vector:
        return "There is no vector yet, so no search by meaning finds this."
    if task is None or not task.model_id:
        return "There is a vector, but it is not known how it was made."
    kind = f"{task.dimensions} dimensions by {task.model_id}"
    if task.status == Status.COMPLETED and task.completed_at:
        return f"A vector of {kind}, made {labels.age(task.completed_at)} ago."
    return f"The vector of an older text is there meanwhile: {kind}."
