"""Search: embedded models, one or several, for whoever may view them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models import QuerySet
from django.urls import NoReverseMatch
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import registry, search
from embeddings.api import permissions, serializers
from embeddings.api.base import SpendingView
from embeddings.api.describing import INVALID, REFUSED, TAG, THROTTLED, UNAVAILABLE, answer
from embeddings.api.problems import Unavailable, Unsearchable
from embeddings.exceptions import ConfigurationError
from embeddings.registry import Derived

EXAMPLE = {
    "success": True,
    "data": {
        "results": [
            {
                "model": "content.article",
                "object_id": "8214",
                "title": "subprocess.run",
                "score": 0.0325,
                "found_by": "both",
                "passage": None,
                "url": "/articles/subprocess.run/",
            }
        ],
        "degraded": False,
    },
}


class Search(SpendingView):
    """Where objects have owners, mount a subclass whose `objects()` leaves out what the user may not see."""

    # Which permission it takes depends on the model that is searched.
    permission_classes = [IsAuthenticated]

    @extend_schema(
        operation_id="embeddings_search",
        summary="Find objects by meaning, by words, or both",
        description="Needs the permission to view each model that is searched.",
        tags=[TAG],
        parameters=[serializers.EmbeddingSearchQuerySerializer],
        responses={
            200: answer("EmbeddingSearchAnswer", serializers.EmbeddingHitsSerializer()),
            **INVALID,
            **REFUSED,
            **THROTTLED,
            **UNAVAILABLE,
        },
        examples=[OpenApiExample("Example", value=EXAMPLE, response_only=True, status_codes=["200"])],
    )
    def get(self, request: Request) -> Response:
        query = serializers.EmbeddingSearchQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        wanted = query.validated_data
        targets = _targets(wanted["model"], wanted.get("field"))
        for target in targets:
            permissions.require(request, f"{target.model._meta.app_label}.view_{target.model._meta.model_name}")
        asked = [(self.objects(target.model).defer(*_unread(target.model)), target.field) for target in targets]
        found = _found(*asked[0], wanted) if len(asked) == 1 else _found_across(asked, wanted)
        return Response({"success": True, "data": found})

    def objects(self, model: type[models.Model]) -> QuerySet[Any]:
        """What the user, who may view the model, may find of it: here, all."""
        return model._default_manager.all()


def _targets(labels: Sequence[str], field: str | None) -> list[Derived]:
    """One a model, in the order in which they were named."""
    targets = {target.model: target for target in (_target(label, field) for label in labels)}
    if field is not None and len(targets) > 1:
        raise Unsearchable("Name one model together with `field`, or several without it.")
    return list(targets.values())


def _target(label: str, field: str | None) -> Derived:
    found = [
        target
        for target in registry.all_derived()
        if target.model._meta.label_lower == label.lower() and field in {None, target.field}
    ]
    if len(found) == 1:
        return found[0]
    if found:
        fields = ", ".join(target.field for target in found)
        raise Unsearchable(f"{label} has several embedded fields; say with `field` which to search: {fields}.")
    named = label if field is None else f"{label}.{field}"
    raise Unsearchable(f"Nothing is embedded under {named!r}; write app.model.")


def _unread(model: type[models.Model]) -> list[str]:
    """The vectors, which are long, and which no answer holds."""
    return [each.field for each in registry.targets_for(model)]


def _found(objects: QuerySet[Any], field: str, wanted: dict[str, Any]) -> dict[str, Any]:
    try:
        found = search.search(objects, wanted["q"], mode=wanted["mode"], field=field)
    except ConfigurationError as exc:  # a search by words, or come down to that, of a model that has none to search
        if wanted["mode"] == "keyword":
            raise Unsearchable(f"{exc} Search it with mode=semantic.") from exc
        raise Unavailable("Search by meaning is not possible now, and this model is not searched by words.") from exc
    best = [_hit(each, each.score, each.found_by, getattr(each, "passage", None)) for each in found[: wanted["limit"]]]
    return {"results": best, "degraded": bool(getattr(found, "degraded", False))}


def _found_across(asked: Sequence[tuple[QuerySet[Any], str]], wanted: dict[str, Any]) -> dict[str, Any]:
    found = search.across(asked, wanted["q"], mode=wanted["mode"], limit=wanted["limit"])
    best = [_hit(hit.object, hit.score, hit.found_by, hit.passage) for hit in found.hits]
    return {"results": best, "degraded": found.degraded}


def _hit(found: Any, score: float, found_by: str, passage: str | None) -> dict[str, Any]:
    return {
        "model": found._meta.label_lower,
        "object_id": str(found.pk),
        "title": str(found),
        "score": float(score),
        "found_by": found_by,
        "passage": passage,
        "url": _url(found),
    }


def _url(found: Any) -> str | None:
    if not hasattr(found, "get_absolute_url"):
        return None
    try:
        return str(found.get_absolute_url())
    except NoReverseMatch:
        return None
