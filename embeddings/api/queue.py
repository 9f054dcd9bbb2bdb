"""The queue in the shape that clients of older systems read."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import stats
from embeddings.api import permissions, serializers
from embeddings.api.base import EmbeddingsView
from embeddings.api.describing import REFUSED, TAG, answer

AT_WORK = {"success": True, "data": {"queueLength": 1200, "processing": 256, "isProcessing": True}}


class QueueStatus(EmbeddingsView):
    required_permission = permissions.VIEW

    @extend_schema(
        operation_id="embeddings_queue_status",
        summary="How much work there is",
        description="Counts of tasks, for a glance or a monitor.",
        tags=[TAG],
        responses={200: answer("EmbeddingQueueStatusAnswer", serializers.EmbeddingQueueStatusSerializer()), **REFUSED},
        examples=[OpenApiExample("Example", value=AT_WORK, response_only=True, status_codes=["200"])],
    )
    def get(self, request: Request) -> Response:
        return Response({"success": True, "data": stats.queue_status()})
