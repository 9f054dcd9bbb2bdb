from __future__ import annotations

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest

from project.content.admin.listing import ContentAdmin
from project.content.kinds import Kind
from project.content.models import Article


@admin.register(Article)
class ArticleAdmin(ContentAdmin):
    list_display = ("title", "source", "kind", "embedding_state", "updated_at")
    list_filter = ("kind",)
    search_fields = ("title", "slug", "keywords", "content")
    readonly_fields = ("kind", "updated_at")
    fields = ("title", "slug", "signature", "content", "keywords", "source", "kind", "updated_at")

    def save_model(self, request: HttpRequest, obj: Article, form: ModelForm, change: bool) -> None:
        """An edited article is the editor's from then on: the next load leaves it as it is."""
        if form.has_changed():
            obj.kind = Kind.WRITTEN
        super().save_model(request, obj, form, change)
