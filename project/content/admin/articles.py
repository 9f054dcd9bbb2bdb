from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from project.content.kinds import Kind
from project.content.models import Article
from project.content.states import UNKNOWN, State, states_of


class ArticleChangeList(ChangeList):
    """The list, with the states of the rows on this page fetched at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        states = states_of(self.result_list)
        for article in self.result_list:
            article.state = states.get(article.pk)


@admin.register(Article)
class ArticleAdmin(admin.ModelAdmin):
    """Saving comes back at once; the vector follows, and the list shows how far it is."""

    list_display = ("title", "source", "kind", "embedding_state", "updated_at")
    list_filter = ("kind",)
    search_fields = ("title", "slug", "keywords", "content")
    list_per_page = 50
    readonly_fields = ("kind", "updated_at")
    fields = ("title", "slug", "signature", "content", "keywords", "source", "kind", "updated_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Article]:
        return super().get_queryset(request).defer("embedding")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ArticleChangeList]:
        return ArticleChangeList

    def save_model(self, request: HttpRequest, obj: Article, form: ModelForm, change: bool) -> None:
        """An edited article is the editor's from then on: the next load leaves it as it is."""
        if form.has_changed():
            obj.kind = Kind.WRITTEN
        super().save_model(request, obj, form, change)

    @admin.display(description="Embedding")
    def embedding_state(self, obj: Article) -> str:
        state: State | None = getattr(obj, "state", None)
        return (state or UNKNOWN).label
