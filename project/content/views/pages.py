"""System 000's pages: read, written and edited, with the progress of their chunks."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from project.content.catalogue import COLLECTIONS
from project.content.finding import CANDIDATES
from project.content.forms import PageForm
from project.content.markdown import as_html
from project.content.models import Page
from project.content.states import states_of
from project.content.views.access import needs, object_or_404
from project.content.views.rendering import live
from project.content.views.rendering import page as rendered
from project.content.visibility import visible, workspaces_of

PAGES = COLLECTIONS["pages"]


@require_safe
@never_cache
@needs("view", Page)
def index(request: HttpRequest) -> HttpResponse:
    """The pages of the user's workspaces."""
    pages = list(visible(Page, request.user).only("title", "workspace__name", "updated_at").select_related("workspace"))
    pages.sort(key=lambda page: (page.workspace.name.lower(), page.title.lower()))
    states = states_of(pages)
    watched = [pk for pk, state in states.items() if not state.is_settled][:CANDIDATES]
    for page in pages:
        page.state, page.is_watched = states.get(page.pk), page.pk in watched
    return rendered(request, "pages.html", {"pages": pages, "has_workspace": workspaces_of(request.user).exists()})


@require_safe
@never_cache
@needs("view", Page)
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One page, and how far its chunks are."""
    page = object_or_404(PAGES, pk, request)
    context = {
        "object": page,
        "collection": PAGES,
        "content": as_html(page.content),
        "state": states_of([page]).get(pk),
    }
    return rendered(request, "page.html", context)


@require_safe
@never_cache
@needs("view", Page)
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """How far the chunks are, once that is something else than `was`. For htmx."""
    page = object_or_404(PAGES, pk, request)
    state = states_of([page]).get(pk)
    if state and not state.is_settled and state.label == request.GET.get("was"):
        return HttpResponse(status=204)
    return render(request, "partials/chunks.html", {**live(), "object": page, "state": state, "is_alone": True})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("add", Page)
def add(request: HttpRequest) -> HttpResponse:
    """A new page."""
    if not workspaces_of(request.user).exists():
        return rendered(request, "page_form.html", {})
    return _edited(request, Page())


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("view", Page)
@needs("change", Page)
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Another text for a page. It is saved at once, and embedded in the background."""
    return _edited(request, object_or_404(PAGES, pk, request))


def _edited(request: HttpRequest, page: Page) -> HttpResponse:
    form = PageForm(request.user, request.POST or None, instance=page)
    if request.method == "POST" and form.is_valid():
        return redirect(form.save())
    return rendered(request, "page_form.html", {"form": form, "page_id": page.pk})
