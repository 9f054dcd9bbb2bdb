"""Objects, by their keys: how far each of their vectors is."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, models
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import registry
from embeddings.api import permissions, serializers
from embeddings.api.base import EmbeddingsView
from embeddings.api.describing import MISSING, REFUSED, TAG, answer
from embeddings.api.filters import embedded_models
from embeddings.models import IS_BOXED, EmbeddingTask


class Entity(EmbeddingsView):
    required_permission = permissions.VIEW

    @extend_schema(
        operation_id="embeddings_entities_read",
        summary="How far the vectors of one object are",
        description="Each embedded field of it, with its task. The object itself may wait in a box.",
        tags=[TAG],
        responses={200: answer("EmbeddingEntityAnswer", serializers.EmbeddingEntitySerializer()), **REFUSED, **MISSING},
    )
    def get(self, request: Request, model: str, object_id: str) -> Response:
        for found in embedded_models(model):
            data = _entity(found, object_id)
            return Response({"success": True, "data": serializers.EmbeddingEntitySerializer(data).data})
        raise exceptions.NotFound(f"No embedded model is called {model!r}; write app.model.")


def _entity(model: type[models.Model], object_id: str) -> dict[str, Any]:
    tasks = _tasks_by_field(model, object_id)
    if not tasks:
        raise exceptions.NotFound(f"There is no task of {model._meta.label_lower} {object_id}.")
    fields = [_target(target.field, tasks.get(target.field)) for target in registry.derived_for(model)]
    key = next(iter(tasks.values())).object_id
    return {"model": model._meta.label_lower, "objectId": key, "targets": fields}


def _tasks_by_field(model: type[models.Model], object_id: str) -> dict[str, Any]:
    first, *_ = targets = registry.derived_for(model)
    if "\0" in object_id or not first.is_key(object_id):
        return {}
    tasks = EmbeddingTask.objects.filter(
        content_type_id__in={target.content_type_id(DEFAULT_DB_ALIAS) for target in targets},
        object_id=str(first.key_field.to_python(object_id)),
    )
    return {task.field: task for task in tasks.defer("payload").annotate(is_boxed=IS_BOXED)}


def _target(field: str, task: Any) -> dict[str, Any]:
    if task is None:
        return {"field": field, "status": None, "taskId": None, "isStored": True, "error": None}
    error = task if task.error_kind else None
    return {"field": field, "status": task.status, "taskId": task.pk, "isStored": not task.is_boxed, "error": error}
