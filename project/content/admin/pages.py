"""Pages (000): only those of the user's own workspaces, as everywhere."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db import DEFAULT_DB_ALIAS
from django.db.models import CharField, Count, ForeignKey, OuterRef, QuerySet, Subquery
from django.db.models.functions import Cast
from django.forms import ModelChoiceField, ModelForm
from django.http import HttpRequest

from embeddings import registry
from embeddings.admin import EmbeddedAdmin
from embeddings.models import EmbeddingTask
from project.content.admin.listing import ContentAdmin
from project.content.models import Block, Page, PageChunk, Workspace
from project.content.states import LABELS, UNKNOWN, State, states_of
from project.content.visibility import visible


class OwnAdmin(admin.ModelAdmin):
    """What is not the user's own is neither listed, nor found by its address, nor offered for choice."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        everything = super().get_queryset(request)
        return everything.filter(pk__in=visible(self.model, request.user).values("pk"))

    def formfield_for_foreignkey(
        self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField | None:
        if db_field.remote_field.model in (Workspace, Page):
            kwargs["queryset"] = visible(db_field.remote_field.model, request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(Workspace)
class WorkspaceAdmin(OwnAdmin):
    list_display = ("name", "pages", "people")
    search_fields = ("name",)
    filter_horizontal = ("members",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Workspace]:
        counts = {"page_count": Count("pages", distinct=True), "member_count": Count("members", distinct=True)}
        return super().get_queryset(request).annotate(**counts)

    def save_related(self, request: HttpRequest, form: ModelForm, formsets: Any, change: bool) -> None:
        """Whoever makes a workspace is a member of it: it would vanish from his sight otherwise."""
        super().save_related(request, form, formsets, change)
        if not change:
            form.instance.members.add(request.user)

    @admin.display(description="pages", ordering="page_count")
    def pages(self, workspace: Any) -> int:
        return workspace.page_count

    @admin.display(description="members", ordering="member_count")
    def people(self, workspace: Any) -> int:
        return workspace.member_count


class PageChangeList(ChangeList):
    """The list, without the long texts, with how far the chunks of this page's rows are, counted at once."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Page]:
        return super().get_queryset(request, exclude_parameters).defer("content", "words")

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        states = states_of(self.result_list)
        for page in self.result_list:
            page.state = states.get(page.pk, UNKNOWN)


class ChunkInline(admin.TabularInline):
    """What the page was split into; only workers write it."""

    model = PageChunk
    fields = readonly_fields = ("index", "start", "end", "text", "state")
    ordering = ("index",)
    extra = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[PageChunk]:
        """With the states of their tasks, in the same query."""
        (target,) = registry.targets_for(PageChunk)
        tasks = EmbeddingTask.objects.filter(
            content_type_id=target.content_type_id(DEFAULT_DB_ALIAS),
            field=target.field,
            object_id=Cast(OuterRef("pk"), CharField()),
        )
        status = Subquery(tasks.values("status"))
        return super().get_queryset(request).defer("embedding", "words").annotate(status=status)

    def has_add_permission(self, request: HttpRequest, obj: Page | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Page | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Page | None = None) -> bool:
        """Whoever may read the page may read its chunks."""
        return True

    @admin.display(description="embedding")
    def state(self, chunk: Any) -> str:
        return LABELS.get(chunk.status, UNKNOWN).label


@admin.register(Page)
class PageAdmin(OwnAdmin, EmbeddedAdmin):
    """Saving comes back at once. The page is then split, and the chunks that changed are embedded."""

    list_display = ("title", "workspace", "chunk_state", "updated_at")
    list_filter = (("workspace", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("workspace",)
    list_per_page = 50
    search_fields = ("title", "content")
    fields = ("workspace", "title", "content", "updated_at")
    readonly_fields = ("updated_at",)
    inlines = (ChunkInline,)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PageChangeList

    @admin.display(description="Embedding")
    def chunk_state(self, page: Any) -> str:
        """ "7 of 9 chunks ready", then "ready"; "-" of a page that is not stored yet."""
        if page._state.adding:
            return "-"
        state: State = getattr(page, "state", None) or states_of([page]).get(page.pk, UNKNOWN)
        return state.label


@admin.register(Block)
class BlockAdmin(OwnAdmin, ContentAdmin):
    """A save here is a person's: it goes ahead of everything else, and waits for nothing."""

    list_display = ("__str__", "page", "position", "embedding_state", "updated_at")
    list_select_related = ("page",)
    search_fields = ("text", "page__title")
    fields = ("page", "position", "text", "updated_at")
    readonly_fields = ("updated_at",)
    autocomplete_fields = ("page",)
