"""Search: any embedded model, for whoever may view it."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.urls import NoReverseMatch
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import exceptions
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import registry, search
from embeddings.api import serializers
from embeddings.api.base import EmbeddingsView
from embeddings.api.describing import INVALID, REFUSED, TAG, UNAVAILABLE, answer
from embeddings.api.problems import Unavailable, Unsearchable
from embeddings.exceptions import ConfigurationError

EXAMPLE = {
    "success": True,
    "data": {
        "results": [
            {
                "object_id": "8214",
                "title": "subprocess.run",
                "score": 0.0325,
                "found_by": "both",
                "url": "/articles/subprocess.run/",
            }
        ],
        "degraded": False,
    },
}


class Search(EmbeddingsView):
    # Which permission it takes depends on the model that is searched.
    permission_classes = [IsAuthenticated]

    @extend_schema(
        operation_id="embeddings_search",
        summary="Find objects by meaning, by words, or both",
        description="Needs the permission to view the model that is searched.",
        tags=[TAG],
        parameters=[serializers.EmbeddingSearchQuerySerializer],
        responses={
            200: answer("EmbeddingSearchAnswer", serializers.EmbeddingHitsSerializer()),
            **INVALID,
            **REFUSED,
            **UNAVAILABLE,
        },
        examples=[OpenApiExample("Example", value=EXAMPLE, response_only=True, status_codes=["200"])],
    )
    def get(self, request: Request) -> Response:
        query = serializers.EmbeddingSearchQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        wanted = query.validated_data
        target = _target(wanted["model"], wanted.get("field"))
        _check_may_view(request, target.model)
        return Response({"success": True, "data": _found(target, wanted)})


def _target(label: str, field: str | None) -> registry.Target:
    found = [
        target
        for target in registry.all_targets()
        if target.model._meta.label_lower == label.lower() and field in {None, target.field}
    ]
    if len(found) == 1:
        return found[0]
    if found:
        fields = ", ".join(target.field for target in found)
        raise Unsearchable(f"{label} has several embedded fields; say with `field` which to search: {fields}.")
    named = label if field is None else f"{label}.{field}"
    raise Unsearchable(f"Nothing is embedded under {named!r}; write app.model.")


def _check_may_view(request: Request, model: type[models.Model]) -> None:
    permission = f"{model._meta.app_label}.view_{model._meta.model_name}"
    if not request.user.has_perm(permission):
        raise exceptions.PermissionDenied(f"This needs the permission {permission}.")


def _found(target: registry.Target, wanted: dict[str, Any]) -> dict[str, Any]:
    vectors = [each.field for each in registry.targets_for(target.model)]
    objects = target.model._default_manager.defer(*vectors)
    try:
        found = search.search(objects, wanted["q"], mode=wanted["mode"], field=target.field)
    except ConfigurationError as exc:  # a search by words, or come down to that, of a model that has none to search
        if wanted["mode"] == "keyword":
            raise Unsearchable(f"{exc} Search it with mode=semantic.") from exc
        raise Unavailable("Search by meaning is not possible now, and this model is not searched by words.") from exc
    degraded = bool(getattr(found, "degraded", False))
    return {"results": [_hit(each) for each in found[: wanted["limit"]]], "degraded": degraded}


def _hit(found: Any) -> dict[str, Any]:
    return {
        "object_id": str(found.pk),
        "title": str(found),
        "score": float(found.score),
        "found_by": found.found_by,
        "url": _url(found),
    }


def _url(found: Any) -> str | None:
    if not hasattr(found, "get_absolute_url"):
        return None
    try:
        return str(found.get_absolute_url())
    except NoReverseMatch:
        return None
