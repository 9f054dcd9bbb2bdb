"""What all pages have in common."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from embeddings import conf, stats
from embeddings.search import similar
from project.content.catalogue import collection_of
from project.content.progress import progress
from project.content.states import states_of

MAX_SIMILAR = 8


def page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """A whole page, with the line at its top."""
    return render(request, template, {**live(), **context})


def live() -> dict[str, Any]:
    """What every page says at its top."""
    counts = progress()
    return {
        "progress": counts,
        "rate": round(stats.recent_speed()) if counts.waiting else 0,
        "is_enabled": conf.current().enabled,
    }


def detail(obj: Any) -> dict[str, Any]:
    """An object, its state, and those near it in meaning if it has a vector to compare."""
    collection = collection_of(obj)
    state = states_of([obj]).get(obj.pk)
    neighbours = []
    if state and collection.has_neighbours:
        near = similar(obj, limit=MAX_SIMILAR, field=collection.embedded)
        neighbours = list(near.defer(collection.embedded, "words"))
    return {"collection": collection, "object": obj, "state": state, "neighbours": neighbours}
