"""Recommendations (001), and a button that makes all of their vectors anew."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from embeddings import operations, registry, requeue
from embeddings.exceptions import ConfigurationError
from project.content.admin.listing import ContentAdmin
from project.content.models import Recommendation

REGENERATE = "embeddings.add_embeddingoperation"


@admin.register(Recommendation)
class RecommendationAdmin(ContentAdmin):
    list_display = ("title", "topic", "embedding_state", "created_at")
    list_filter = ("topic",)
    search_fields = ("title", "text")
    readonly_fields = ("created_at",)
    fields = ("title", "text", "topic", "created_at")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.regenerate_view)
        return [path("regenerate/", view, name="content_recommendation_regenerate"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        may_regenerate = request.user.has_perm(REGENERATE)
        return super().changelist_view(request, {**(extra_context or {}), "may_regenerate": may_regenerate})

    def regenerate_view(self, request: HttpRequest) -> HttpResponse:
        """Say what it takes and ask; then begin, and lead to the operation's own page."""
        if not request.user.has_perm(REGENERATE):
            raise PermissionDenied
        if request.method == "POST":
            return HttpResponseRedirect(self._begin(request))
        (target,) = registry.targets_for(Recommendation)
        survey = requeue.survey(target, conditions=frozenset(requeue.Condition))
        context = {
            **self.admin_site.each_context(request),
            "title": "Regenerate all recommendations",
            "opts": self.opts,
            "texts": f"{survey.wanted:,}",
            "tokens": f"{survey.tokens:,}",
            "cost": f"{survey.cost:,.4f}" if survey.cost else "",
        }
        return TemplateResponse(request, "admin/content/recommendation/regenerate.html", context)

    def _begin(self, request: HttpRequest) -> str:
        """Begin; returns where to go."""
        try:
            operation = operations.regenerate(Recommendation, by=request.user.get_username())
        except ConfigurationError as exc:
            self.message_user(request, str(exc), messages.ERROR)
            return reverse("admin:content_recommendation_changelist", current_app=self.admin_site.name)
        url = reverse(
            "admin:embeddings_embeddingoperation_change", args=[operation.pk], current_app=self.admin_site.name
        )
        link = format_html('All recommendations are made anew: see <a href="{}">{}</a>.', url, operation)
        self.message_user(request, link, messages.SUCCESS)
        return reverse("admin:content_recommendation_changelist", current_app=self.admin_site.name)
