"""Vectors of texts that belong to no object, for programs that keep their own."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import exceptions, status
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import direct
from embeddings.api import permissions, serializers
from embeddings.api.base import EmbeddingsView, SpendingView
from embeddings.api.describing import INVALID, MISSING, REFUSED, TAG, THROTTLED, UNAVAILABLE, answer
from embeddings.api.idempotency import ONCE, PARAMETER, idempotent
from embeddings.api.problems import Unavailable
from embeddings.exceptions import ConfigurationError, InputRejected, ProviderError
from embeddings.failure import Failure

READY = {"success": True, "data": {"vector": [0.0123, -0.0456, 0.0789]}}
QUEUED = {"success": True, "data": {"taskId": 7}}
DONE = {"success": True, "data": {"taskId": 7, "status": "completed", "vector": [0.0123, -0.0456], "error": ""}}


class Texts(SpendingView):
    required_permission = permissions.ADD_TEXT

    @extend_schema(
        operation_id="embeddings_texts_create",
        summary="Embed a text, now or in the background",
        description="Now: the answer has the vector. In the background: it has the id of a task, to be read later.",
        tags=[TAG],
        parameters=[PARAMETER],
        request=serializers.EmbeddingTextRequestSerializer,
        responses={
            200: answer("EmbeddingVectorAnswer", serializers.EmbeddingVectorSerializer()),
            202: answer("EmbeddingTextQueuedAnswer", serializers.EmbeddingTextQueuedSerializer()),
            **INVALID,
            **REFUSED,
            **ONCE,
            **THROTTLED,
            **UNAVAILABLE,
        },
        examples=[
            OpenApiExample("Now", value=READY, response_only=True, status_codes=["200"]),
            OpenApiExample("In the background", value=QUEUED, response_only=True, status_codes=["202"]),
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        wanted = serializers.EmbeddingTextRequestSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        return _embedded(**wanted.validated_data)


class Text(EmbeddingsView):
    required_permission = permissions.VIEW_TEXT

    @extend_schema(
        operation_id="embeddings_texts_read",
        summary="The vector of a text that was embedded in the background",
        description="There is a vector once the status is `completed`. Texts are deleted some time after.",
        tags=[TAG],
        responses={200: answer("EmbeddingTextAnswer", serializers.EmbeddingTextSerializer()), **REFUSED, **MISSING},
        examples=[OpenApiExample("Example", value=DONE, response_only=True, status_codes=["200"])],
    )
    def get(self, request: Request, task_id: int) -> Response:
        try:
            result = direct.result(task_id)
        except LookupError as exc:
            raise exceptions.NotFound(str(exc)) from exc
        data = {"taskId": task_id, "status": result.status, "vector": result.vector, "error": result.error}
        return Response({"success": True, "data": data})


def _embedded(text: str, immediate: bool) -> Response:
    try:
        if immediate:
            return Response({"success": True, "data": {"vector": direct.embed_now(text)}})
        data = {"taskId": direct.embed_later(text)}
    except (ValueError, InputRejected) as exc:
        raise exceptions.ValidationError({"text": _message(exc, text)}) from exc
    except (ProviderError, ConfigurationError) as exc:
        raise Unavailable(_message(exc, text)) from exc
    return Response({"success": True, "data": data}, status.HTTP_202_ACCEPTED)


def _message(exc: Exception, text: Any) -> str:
    """Without what the provider quotes of the text: answers are logged where texts are not."""
    return Failure.of(exc, private=[text]).message
