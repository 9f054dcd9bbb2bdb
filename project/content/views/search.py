"""The start page: one box over everything that the visitor may see."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from project.content.catalogue import COLLECTIONS
from project.content.finding import MAX_QUERY, MODES, Query, find
from project.content.progress import counts_of
from project.content.views.rendering import live, page
from project.content.visibility import User

EXAMPLES = (
    "run a program and read what it prints",
    "wait for several tasks at once",
    "remember the results of a slow function",
    "split text at every comma",
)


@require_safe
@never_cache
@vary_on_headers("HX-Request")
def search(request: HttpRequest) -> HttpResponse:
    """The start page, with results if something is asked for; only those for htmx."""
    query = Query.read(request.GET)
    found = find(query, request.user) if query.text else None
    context = {"query": query, "found": found, "max_query": MAX_QUERY, "examples": EXAMPLES}
    if request.htmx and not request.htmx.history_restore_request:
        return render(request, "partials/results.html", {**live(), **context, "is_partial": True})
    return page(request, "search.html", {**context, "modes": MODES, "collections": _collections(request.user)})


def _collections(user: User) -> list[tuple[str, str, int]]:
    """(name, label, number of objects) of each collection in which the user may see any."""
    counts = counts_of({each.model: each.visible(user) for each in COLLECTIONS.values()})
    return [(each.name, each.label, counts[each.model]) for each in COLLECTIONS.values() if counts[each.model]]
