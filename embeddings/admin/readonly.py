"""The base of all our admin pages."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst

from embeddings import conf
from embeddings.admin.counting import LimitedPaginator
from embeddings.admin.listing import BoundedChangeList


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Pages to look at: what they show is written by workers, and would be wrong if a person had written it.

    Nothing on a list may take longer because the table is longer.
    """

    ordering = ("-pk",)
    paginator = LimitedPaginator
    show_full_result_count = False
    # A page of a list has the same length for whoever writes ?all= into its address.
    list_max_show_all = 0
    show_facets = admin.ShowFacets.NEVER
    # Sorting by a column without an index reads the whole table.
    sortable_by: ClassVar[tuple[str, ...]] = ()

    class Media:
        css = {"all": ["embeddings/admin.css"]}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Without the order that somebody has typed into the address: Django takes any column there.

        An action that the user may not run is refused: Django would do nothing, and say nothing.
        """
        if set(request.POST.getlist("action")) - {"", *self.get_actions(request)}:
            raise PermissionDenied
        if ORDER_VAR in request.GET and not self.get_sortable_by(request):
            request.GET = request.GET.copy()  # type: ignore[assignment]
            del request.GET[ORDER_VAR]  # type: ignore[misc]
        context = {"title": capfirst(self.opts.verbose_name_plural), **(extra_context or {})}
        return super().changelist_view(request, context)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BoundedChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only what the list's own filters ask for: Django takes any column, of what a task leads to, too (a box)."""
        filters = self.get_list_filter(request) if request is not None else self.list_filter
        return lookup in {_parameter(one) for one in filters}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class SharedAdmin(ReadOnlyAdmin):
    """Pages of what belongs to no model: it is in the first of EMBEDDINGS["DATABASES"]."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.using(conf.current().databases[0])


def _parameter(list_filter: Any) -> str:
    """The name by which an address asks for an entry of `list_filter`: a class, or a field with choices."""
    return f"{list_filter}__exact" if isinstance(list_filter, str) else str(list_filter.parameter_name)
