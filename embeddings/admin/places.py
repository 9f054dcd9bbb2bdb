"""Addresses of other pages, for who may open them: "" where there is no such page, or the user may not see it."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from embeddings.admin.links import bulk_url, page_url
from embeddings.models import EmbeddingOperation, EmbeddingTask, Status


class Places:
    """The pages of one admin site, as one user sees it."""

    def __init__(self, request: HttpRequest, site: AdminSite) -> None:
        self._request = request
        self._site = site

    def listing(self, model_name: str, **query: Any) -> str:
        """The list of one of our models ("workerstatus"), filtered by `query`."""
        return page_url(self._site, f"{model_name}_changelist", **query) if self._may_view(model_name) else ""

    def detail(self, model_name: str, key: Any) -> str:
        return page_url(self._site, f"{model_name}_change", key) if self._may_view(model_name) else ""

    def requeue(self, target: str) -> str:
        """Where to begin to embed what is missing or stale of a target."""
        if not self._may(EmbeddingOperation, "add"):
            return ""
        return page_url(self._site, "embeddingoperation_begin", "requeue", target=target, missing=1, stale=1)

    def failed(self, signature: str) -> str:
        """The list of a group's failed tasks."""
        return self.listing("embeddingtask", status__exact=Status.FAILED.value, signature=signature)

    def retry(self, signature: str) -> str:
        """Where to retry the failed tasks of a group."""
        if not self._may(EmbeddingTask, "retry"):
            return ""
        return bulk_url("retry", self._site, status__exact=Status.FAILED.value, signature=signature)

    def may_pause(self) -> bool:
        return self._request.user.has_perm("embeddings.set_pause")

    def queue(self) -> str:
        """django-rq's own pages, where the project has them; they are for superusers."""
        if not getattr(self._request.user, "is_superuser", False):
            return ""
        try:
            return reverse("django_rq:home")
        except NoReverseMatch:
            return ""

    def _may_view(self, model_name: str) -> bool:
        model = apps.get_model("embeddings", model_name)
        if not self._site.is_registered(model):
            return False
        return self._site.get_model_admin(model).has_view_or_change_permission(self._request)

    def _may(self, model: type[EmbeddingOperation] | type[EmbeddingTask], verb: str) -> bool:
        return self._request.user.has_perm(f"embeddings.{verb}_{model._meta.model_name}")
