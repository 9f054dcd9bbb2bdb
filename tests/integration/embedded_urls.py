"""A host project's own admin site, with the ways in which a ModelAdmin may lay out its page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import path

from embeddings.admin import EmbeddedAdmin, TaskAdmin
from embeddings.models import EmbeddingTask
from project.urls import urlpatterns as others
from tests.testapp.models import Doc, Essay, Memo, Post, Receipt, Restaurant, Word

site = admin.AdminSite(name="ops")
# Without our pages.
bare_site = admin.AdminSite(name="bare")


class MultiplyTypedAdmin(admin.ModelAdmin):
    """Another package's."""

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return super().render_change_form(request, {**context, "subtitle": "typed"}, *args, **kwargs)


class FieldsAdmin(EmbeddedAdmin):
    fields = ("title", "body")


class FieldsetsAdmin(EmbeddedAdmin):
    fieldsets = ((None, {"fields": (("merchant", "text"),)}),)
    readonly_fields = ("merchant",)


class OverriddenAdmin(EmbeddedAdmin, MultiplyTypedAdmin):
    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [("All", {"fields": ["title", "body"], "classes": ["collapse"]})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["body"]


class ElsewhereAdmin(EmbeddedAdmin):
    """The pages of the other database."""

    exclude = ("embedding",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using("other")


class ExceptAdmin(EmbeddedAdmin):
    exclude = ("embedding", "menu_embedding")


site.register(EmbeddingTask, TaskAdmin)
site.register(Post, FieldsAdmin)
site.register(Receipt, FieldsetsAdmin)
site.register(Essay, OverriddenAdmin)
site.register(Word, ExceptAdmin)
site.register(Restaurant, ExceptAdmin)
site.register(Doc, EmbeddedAdmin)
site.register(Memo, ElsewhereAdmin)
bare_site.register(Post, FieldsAdmin)
urlpatterns = [path("ops/", site.urls), path("bare/", bare_site.urls), *others]
