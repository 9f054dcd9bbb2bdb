"""Recommendations (001): read, search, write, and make all of their vectors anew."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import operations, stats
from embeddings.api.describing import PROBLEM, answer
from embeddings.api.permissions import HasPermission
from embeddings.api.problems import Impossible
from embeddings.api.serializers import EmbeddingQueueStatusSerializer
from embeddings.exceptions import ConfigurationError
from project.content.api.base import REFUSED, ContentView, ContentViewSet
from project.content.api.statuses import StatusField
from project.content.models import Recommendation

TAG = "recommendations"
IMPOSSIBLE = {400: OpenApiResponse(PROBLEM, "No worker would do it; the message says what to change.")}
MOST_FOUND = 50
QUERY = OpenApiParameter(
    "q", str, description=f"What to look for: at most {MOST_FOUND} hits come, best first, on one page."
)


class RecommendationSerializer(serializers.ModelSerializer):
    """One piece of advice."""

    url = serializers.CharField(source="get_absolute_url", read_only=True)
    embedding = StatusField()
    score = serializers.SerializerMethodField(help_text="Of a search: larger is better.")
    found_by = serializers.SerializerMethodField(help_text="Of a search: `semantic`, `keyword` or `both`.")

    class Meta:
        model = Recommendation
        fields = ("id", "title", "text", "topic", "created_at", "url", "embedding", "score", "found_by")

    def get_score(self, recommendation: Recommendation) -> float | None:
        return getattr(recommendation, "score", None)

    def get_found_by(self, recommendation: Recommendation) -> str | None:
        return getattr(recommendation, "found_by", None)


@extend_schema_view(
    list=extend_schema(
        operation_id="recommendations_list",
        summary="Recommendations, newest first, or those that are found",
        description="The answer to a search also has `degraded`: true if only words could be compared.",
        parameters=[QUERY],
        tags=[TAG],
    ),
    create=extend_schema(operation_id="recommendations_create", summary="Write a recommendation", tags=[TAG]),
    retrieve=extend_schema(operation_id="recommendations_read", summary="One recommendation", tags=[TAG]),
    update=extend_schema(operation_id="recommendations_update", summary="Write a recommendation anew", tags=[TAG]),
    partial_update=extend_schema(
        operation_id="recommendations_change", summary="Change parts of a recommendation", tags=[TAG]
    ),
    destroy=extend_schema(operation_id="recommendations_delete", summary="Delete a recommendation", tags=[TAG]),
)
class Recommendations(ContentViewSet):
    """Saving comes back at once; the vector follows, and `embedding` says how far it is."""

    queryset = Recommendation.objects.defer("embedding", "words")
    serializer_class = RecommendationSerializer
    lookup_value_converter = "int"

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        query = request.query_params.get("q", "").strip()
        return Response(self._found(query)) if query else super().list(request, *args, **kwargs)

    def _found(self, query: str) -> dict[str, Any]:
        """The one page of a search, in its own order."""
        hits = self.get_queryset().search(query)[:MOST_FOUND]
        found = list(hits)
        self.attach(found)
        results = self.get_serializer(found, many=True).data
        return {"next": None, "previous": None, "results": results, "degraded": hits.degraded}


class QueueStatus(ContentView):
    """For clients of the older system: its address, and its shape."""

    queryset = Recommendation.objects.all()

    @extend_schema(
        operation_id="recommendations_queue_status",
        summary="How many recommendations wait for their vectors",
        tags=[TAG],
        responses={200: answer("RecommendationQueueStatusAnswer", EmbeddingQueueStatusSerializer()), **REFUSED},
    )
    def get(self, request: Request) -> Response:
        return Response(stats.queue_status(Recommendation))


class RegenerationSerializer(serializers.Serializer):
    """An operation that has been begun, or that was at work already."""

    operationId = serializers.IntegerField()
    url = serializers.CharField(help_text="Where its progress is.")


class Regenerate(ContentView):
    """Workers read the rows page by page, and embed them behind everything else."""

    permission_classes = [HasPermission]
    required_permission = "embeddings.add_embeddingoperation"

    @extend_schema(
        operation_id="recommendations_regenerate",
        summary="Make the vectors of all recommendations anew",
        description="Returns at once. The old vectors stay until the new ones are there.",
        tags=[TAG],
        request=None,
        responses={202: answer("RegenerationAnswer", RegenerationSerializer()), **IMPOSSIBLE, **REFUSED},
    )
    def post(self, request: Request) -> Response:
        try:
            operation = operations.regenerate(Recommendation, by=request.user.get_username())
        except ConfigurationError as exc:
            raise Impossible(str(exc)) from exc
        url = reverse("embeddings-api:operation-detail", args=[operation.pk])
        return Response({"operationId": operation.pk, "url": url}, status=202)
