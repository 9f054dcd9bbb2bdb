"""The base of all our admin pages."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from embeddings.admin.counting import LimitedPaginator


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Pages to look at: what they show is written by workers, and would be wrong if a person had written it.

    Nothing on a list may take longer because the table is longer.
    """

    ordering = ("-pk",)
    paginator = LimitedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    # Sorting by a column without an index reads the whole table.
    sortable_by: ClassVar[tuple[str, ...]] = ()

    class Media:
        css = {"all": ["embeddings/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False
