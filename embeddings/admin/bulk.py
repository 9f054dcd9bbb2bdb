"""What operators do to all tasks that match the list's filters: a page that asks, then an operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst

from embeddings import operations
from embeddings.admin import confirming
from embeddings.admin.confirming import TYPED_ABOVE, ConfirmForm, ConfirmingAdmin, TypedForm
from embeddings.exceptions import ConfigurationError, FilterError
from embeddings.models import EmbeddingOperation, EmbeddingTask
from embeddings.stats.census import Preview
from embeddings.task_filter import TaskFilter


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing that is done to tasks. `name` is also that of its permission."""

    name: str
    begin: Callable[..., EmbeddingOperation]
    # "500 tasks …", and what becomes of them.
    outcome: str
    # Which tasks it is for.
    only: str
    is_danger: bool = False


VERBS = {
    "retry": Verb(
        "retry",
        operations.retry_matching,
        "will be tried again at once, with all their attempts ahead of them.",
        "Only failed, cancelled, scheduled and rate limited tasks can be retried.",
    ),
    "cancel": Verb(
        "cancel",
        operations.cancel_matching,
        "will be cancelled. What a worker has in hand of them it will not write. The next save of an object, "
        "or a retry, opens its task again.",
        "Only tasks that are not done yet can be cancelled, and failed ones where the filter asks for these.",
        is_danger=True,
    ),
    "clear": Verb(
        "clear",
        operations.clear_matching,
        "will be deleted from the ledger, with what is known of their errors. Objects and vectors stay as they are; "
        "the next save of an object, or a requeue of what is missing, opens a new task.",
        "Only failed and cancelled tasks can be cleared, and none that holds an object that is not stored yet.",
        is_danger=True,
    ),
}


def may(request: HttpRequest, verb: str) -> bool:
    """Whether the user may do this to tasks: "retry", "cancel" or "clear"."""
    opts = EmbeddingTask._meta
    return request.user.has_perm(f"{opts.app_label}.{get_permission_codename(verb, opts)}")


class BulkPages(ConfirmingAdmin):
    """The buttons above the list of tasks, and the pages to which they lead."""

    change_list_template = "embeddings/admin/bulk_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.bulk_view)
        return [path("bulk/<str:verb>/", view, name="embeddings_embeddingtask_bulk"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # What a search finds is few: it is ticked.
        verbs = [] if request.GET.get("q") else [verb for verb in VERBS if may(request, verb)]
        links = [
            {"label": f"{capfirst(verb)} all that match…", "url": self.bulk_url(verb, request.GET)} for verb in verbs
        ]
        return super().changelist_view(request, {**(extra_context or {}), "bulk_links": links})

    def bulk_url(self, verb: str, query: QueryDict) -> str:
        """The page that does `verb` to all that the list with this query shows."""
        url = reverse("admin:embeddings_embeddingtask_bulk", args=[verb], current_app=self.admin_site.name)
        return f"{url}?{query.urlencode()}" if query else url

    def bulk_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Say what it comes to, and ask; then begin, and lead to the operation's own page."""
        if not self.has_view_permission(request) or verb not in VERBS or not may(request, verb):
            raise PermissionDenied
        name = "admin:embeddings_embeddingtask_changelist"
        back = reverse(name, current_app=self.admin_site.name)
        try:
            wanted = TaskFilter.from_query(request.GET)
        except FilterError as exc:
            return self.refused(request, str(exc), back)
        back = f"{back}?{urlencode([*request.GET.lists()], doseq=True)}" if request.GET else back
        return self._ask(request, VERBS[verb], wanted, back)

    def _ask(self, request: HttpRequest, verb: Verb, wanted: TaskFilter, back: str) -> HttpResponse:
        preview = operations.preview(verb.name, wanted)
        form = _form(request, verb, preview)
        if request.method == "POST" and form.is_valid():
            return self._begin(request, verb, wanted, form, back)
        context = {
            "title": f"{capfirst(verb.name)} all that match",
            "lead": _lead(verb, preview),
            "facts": list(_facts(verb, preview, wanted)),
            "form": form if preview.rows or preview.is_at_least else None,
            "button": f"Yes, {verb.name} {_rows(preview)}",
            "is_danger": verb.is_danger,
            "back": back,
        }
        return self.confirm_page(request, context)

    def _begin(
        self, request: HttpRequest, verb: Verb, wanted: TaskFilter, form: ConfirmForm, back: str
    ) -> HttpResponseRedirect:
        token = form.cleaned_data["token"]
        try:
            operation = verb.begin(wanted, by=request.user.get_username(), token=token)
        except ConfigurationError as exc:
            return self.refused(request, str(exc), back)
        return self.begun(request, operation, token, back)


def _form(request: HttpRequest, verb: Verb, preview: Preview) -> ConfirmForm:
    data = request.POST if request.method == "POST" else None
    rows = preview.rows or 0
    if verb.is_danger and (rows > TYPED_ABOVE or (data and "typed" in data)):
        return TypedForm(data, rows=rows)
    return ConfirmForm(data)


def _rows(preview: Preview) -> str:
    rows = confirming.number(preview.rows, is_at_least=preview.is_at_least)
    return f"{rows} task" if preview.rows == 1 else f"{rows} tasks"


def _lead(verb: Verb, preview: Preview) -> str:
    if preview.rows or preview.is_at_least:
        return f"{_rows(preview)} {verb.outcome}"
    return f"There is nothing to {verb.name}. {verb.only}"


def _facts(verb: Verb, preview: Preview, wanted: TaskFilter) -> Any:
    yield "Which", capfirst(wanted.describe())
    if preview.parts:
        yield "In these states", confirming.listed(preview.parts)
    if preview.others:
        only = f" {verb.only}" if preview.rows else ""
        yield "Left as they are", f"{confirming.number(preview.others, is_estimate=True)} that match too.{only}"
    if verb.name == "retry" and preview.rows:
        tokens = confirming.number(preview.tokens, is_at_least=preview.is_at_least, is_estimate=True)
        yield "Tokens", tokens
        yield "Cost", confirming.price(preview)


def redirect_to_bulk(page: BulkPages, request: HttpRequest, verb: str) -> HttpResponseRedirect:
    """For too many tasks to be changed while somebody waits."""
    return HttpResponseRedirect(page.bulk_url(verb, request.GET))
