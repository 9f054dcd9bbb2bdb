"""Pages that begin an operation on the rows of a target: what is missing, stale or failed, or all of them anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse

from embeddings import conf, operations, registry
from embeddings.admin import confirming
from embeddings.admin.confirming import ConditionsForm, ConfirmForm, ConfirmingAdmin, RowsForm
from embeddings.exceptions import ConfigurationError
from embeddings.models import EmbeddingOperation
from embeddings.stats.census import Preview

PERMISSION = "embeddings.add_embeddingoperation"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to queue rows."""

    name: str
    title: str
    begin: Callable[..., EmbeddingOperation]
    lead: str
    button: str


WAYS = {
    "requeue": Way(
        "requeue",
        "Embed what is missing",
        operations.requeue,
        "Workers read all rows of {}, and queue those that are in the conditions you tick. "
        "Vectors that are there stay until the new ones come.",
        "Yes, queue them",
    ),
    "regenerate": Way(
        "regenerate",
        "Make all vectors anew",
        operations.regenerate,
        "Workers queue every row of {}, also where nothing has changed. "
        "The old vectors stay until the new ones come, so that searches go on.",
        "Yes, make all anew",
    ),
}


class BeginPages(ConfirmingAdmin):
    """The buttons above the list of operations, and the pages to which they lead."""

    change_list_template = "embeddings/admin/bulk_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.begin_view)
        return [path("begin/<str:way>/", view, name="embeddings_embeddingoperation_begin"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        ways = WAYS.values() if request.user.has_perm(PERMISSION) else ()
        links = [{"label": f"{way.title}…", "url": self._url(way)} for way in ways]
        return super().changelist_view(request, {**(extra_context or {}), "bulk_links": links})

    def begin_view(self, request: HttpRequest, way: str) -> HttpResponse:
        """Say what it comes to, and ask; then begin, and lead to the operation's own page."""
        if way not in WAYS or not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        target = request.GET.get("target", "")
        if not target:
            return self._choose(request, WAYS[way])
        back = reverse("admin:embeddings_embeddingoperation_changelist", current_app=self.admin_site.name)
        try:
            return self._ask(request, WAYS[way], target, back)
        except ConfigurationError as exc:
            return self.refused(request, str(exc), back)

    def _url(self, way: Way, **query: str) -> str:
        url = reverse("admin:embeddings_embeddingoperation_begin", args=[way.name], current_app=self.admin_site.name)
        return f"{url}?{urlencode(query)}" if query else url

    def _choose(self, request: HttpRequest, way: Way) -> HttpResponse:
        """Of which target?"""
        labels = sorted(target.label for target in registry.all_derived())
        context = {
            "title": way.title,
            "lead": "Of which target?" if labels else "No model has an embedded field yet.",
            "choices": [{"label": label, "url": self._url(way, target=label)} for label in labels],
            "back": reverse("admin:embeddings_embeddingoperation_changelist", current_app=self.admin_site.name),
        }
        return self.confirm_page(request, context)

    def _ask(self, request: HttpRequest, way: Way, target: str, back: str) -> HttpResponse:
        using = request.GET.get("database") or None
        if using not in {None, *conf.current().databases}:
            raise ConfigurationError(f"There is no database {using!r} with embeddings.")
        preview = operations.preview(way.name, target, using=using)
        form = _form(request, way, preview)
        if request.method == "POST" and form.is_valid():
            values = form.cleaned_data
            operation = way.begin(target, by=request.user.get_username(), using=using, **values)
            return self.begun(request, operation, values["token"], back)
        context = {
            "title": way.title,
            "lead": way.lead.format(target),
            "facts": list(_facts(way, preview)),
            "form": form,
            "button": way.button,
            "back": back,
        }
        return self.confirm_page(request, context)


def _form(request: HttpRequest, way: Way, preview: Preview) -> ConfirmForm:
    data = request.POST if request.method == "POST" else None
    if way.name == "regenerate":
        return RowsForm(data)
    asked = [name for name in operations.CONDITIONS if request.GET.get(name) == "1"]
    initial = {"conditions": asked or list(operations.CONDITIONS)}
    return ConditionsForm(data, initial=initial, parts=preview.parts)


def _facts(way: Way, preview: Preview) -> Iterator[tuple[str, str]]:
    what = "Rows with text" if way.name == "regenerate" else "Missing, stale and failed"
    yield what, confirming.number(preview.rows, is_estimate=preview.is_estimate)
    yield "Tokens", confirming.number(preview.tokens, is_estimate=True)
    yield "Cost", confirming.price(preview)
