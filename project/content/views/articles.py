"""System 003's page, and what all details share: the texts near one in meaning."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from project.content.catalogue import COLLECTIONS
from project.content.views.access import object_or_404
from project.content.views.rendering import detail, page


@require_safe
@never_cache
def article(request: HttpRequest, slug: str) -> HttpResponse:
    """One article, its state, and those near it in meaning."""
    if "\0" in slug:  # which PostgreSQL would not even compare
        raise Http404
    shown = get_object_or_404(COLLECTIONS["articles"].visible(request.user), slug=slug)
    return page(request, "article.html", detail(shown))


@require_safe
@never_cache
def similar(request: HttpRequest, name: str, key: str) -> HttpResponse:
    """What is near an object in meaning, or a place that asks again until its vector is there. For htmx."""
    collection = COLLECTIONS.get(name)
    if collection is None or not collection.has_neighbours or "\0" in key:
        raise Http404
    return render(request, "partials/similar.html", detail(object_or_404(collection, key, request)))
