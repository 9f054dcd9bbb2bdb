"""The pages of the reference project. They only read, so nobody needs to log in."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from embeddings import conf, stats
from embeddings.search import similar as similar_to
from project.content.finding import CANDIDATES, MAX_QUERY, MODES, Query, find
from project.content.models import Article
from project.content.states import progress, states_of

EXAMPLES = (
    "run a program and read what it prints",
    "wait for several tasks at once",
    "remember the results of a slow function",
    "split text at every comma",
)
MAX_SIMILAR = 8


@require_safe
@never_cache
@vary_on_headers("HX-Request")
def search(request: HttpRequest) -> HttpResponse:
    """The start page, with results if something is asked for; only those for htmx."""
    query = Query.read(request.GET)
    context = {"query": query, "found": find(query) if query.text else None, **_live(), "max_query": MAX_QUERY}
    if request.htmx and not request.htmx.history_restore_request:
        return render(request, "partials/results.html", context | {"is_partial": True, "examples": EXAMPLES})
    return render(request, "search.html", context | {"modes": MODES, "examples": EXAMPLES})


@require_safe
@never_cache
def article(request: HttpRequest, slug: str) -> HttpResponse:
    """One article, its state, and those near it in meaning."""
    if "\0" in slug:  # which PostgreSQL would not even compare
        raise Http404
    shown = get_object_or_404(Article.objects.defer("embedding"), slug=slug)
    return render(request, "article.html", {"article": shown, **_live(), **_neighbours(shown)})


@require_safe
@never_cache
def similar(request: HttpRequest, pk: int) -> HttpResponse:
    """The articles near one in meaning, or a place that asks again until its vector is there. For htmx."""
    shown = get_object_or_404(Article.objects.defer("embedding"), pk=pk)
    return render(request, "partials/similar.html", {"article": shown, **_neighbours(shown)})


@require_safe
@never_cache
def status(request: HttpRequest) -> HttpResponse:
    """The line at the top, and the states of the articles named by `shown`. For htmx."""
    shown = Article.objects.only("pk").filter(pk__in=_shown(request.GET))
    return render(request, "partials/status.html", {**_live(), "states": states_of(shown)})


@require_safe
@never_cache
def status_json(request: HttpRequest) -> JsonResponse:
    """Counts of articles: in all, and by what has become of their vectors."""
    counts = progress()
    return JsonResponse(
        {"total": counts.total, "ready": counts.ready, "waiting": counts.waiting, "failed": counts.failed}
    )


def _live() -> dict[str, Any]:
    """What every page says at its top."""
    counts = progress()
    return {
        "progress": counts,
        "rate": round(stats.recent_rate()) if counts.waiting else 0,
        "is_enabled": conf.current().enabled,
    }


def _neighbours(shown: Article) -> dict[str, Any]:
    state = states_of([shown]).get(shown.pk)
    neighbours = list(similar_to(shown, limit=MAX_SIMILAR).defer("embedding")) if state else []
    return {"state": state, "neighbours": neighbours}


def _shown(data: QueryDict) -> list[int]:
    """The primary keys of the articles on the reader's page."""
    return [int(pk) for pk in data.getlist("shown")[:CANDIDATES] if pk.isascii() and pk.isdecimal() and len(pk) < 19]
