"""What pages ask for again and again while vectors are on their way: cheap, and nothing that could have the focus."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from project.content.catalogue import COLLECTIONS, Collection
from project.content.finding import CANDIDATES
from project.content.states import State, states_of
from project.content.views.rendering import live
from project.content.visibility import User, visible


@require_safe
@never_cache
def status(request: HttpRequest) -> HttpResponse:
    """The line at the top, and the states of the objects named by `shown`. For htmx."""
    states = _states(request.GET, request.user)
    return render(request, "partials/status.html", {**live(), "states": states})


@require_safe
@never_cache
def status_json(request: HttpRequest) -> JsonResponse:
    """Counts of vectors: in all, and by what has become of them."""
    return JsonResponse(asdict(live()["progress"]))


def _states(data: QueryDict, user: User) -> list[tuple[str, Any, State]]:
    """(collection's key, object's key, state) of what the reader's page shows: `shown=article.12&shown=note.…`."""
    shown = [value.partition(".") for value in data.getlist("shown")[:CANDIDATES]]
    found = []
    for collection in COLLECTIONS.values():
        keys = [key for name, _, key in shown if name == collection.key and _is_key(key, collection)]
        if keys:
            objects: list[Model] = list(visible(collection.model, user).only("pk").filter(pk__in=keys))
            found += [(collection.key, pk, state) for pk, state in states_of(objects).items()]
    return found


def _is_key(value: str, collection: Collection) -> bool:
    try:
        collection.model._meta.pk.clean(value, None)
    except ValidationError:
        return False
    return True
