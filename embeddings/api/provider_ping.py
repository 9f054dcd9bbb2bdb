"""One live call to a provider, for somebody who wants to know whether it answers."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.decorators import method_decorator
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import connectivity
from embeddings.api import permissions
from embeddings.api.describing import INVALID, MISSING, REFUSED, TAG, answer, example
from embeddings.api.problems import Impossible
from embeddings.api.provider_states import EmbeddingQuotaSerializer
from embeddings.api.providers import ProviderView
from embeddings.api.throttling import SpendingThrottle
from embeddings.connectivity import Ping
from embeddings.exceptions import ConfigurationError

EXAMPLE = {
    "alias": "default",
    "modelId": "text-embedding-3-small",
    "dimensions": 1536,
    "isAnswering": True,
    "latencySeconds": 0.21,
    "error": "",
    "quota": {"requests": {"used": 121, "limit": 500}},
}


class EmbeddingPingSerializer(serializers.Serializer[Any]):
    """What one call came to."""

    alias = serializers.CharField()
    modelId = serializers.CharField()
    dimensions = serializers.IntegerField()
    isAnswering = serializers.BooleanField(help_text="Whether it answered as it should.")
    latencySeconds = serializers.FloatField(help_text="0 if it was not asked.")
    error = serializers.CharField(help_text="What went wrong; empty if nothing did.")
    quota = serializers.DictField(
        child=EmbeddingQuotaSerializer(),
        allow_null=True,
        help_text="Of `requests` and `tokens`, those that have a limit. Null while Redis, which counts, is away.",
    )


# Nor does the project's ATOMIC_REQUESTS hold a transaction open while the provider is asked.
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class ProviderPing(ProviderView):
    required_permission = permissions.ADD_TEXT
    throttle_classes = [SpendingThrottle]

    @extend_schema(
        operation_id="embeddings_providers_ping",
        summary="Ask a provider for one vector",
        description=(
            "Spends what one short text costs, and says whether, and how quickly, it answered. It opens and closes no "
            "circuit; a provider that is paused is not asked."
        ),
        tags=[TAG],
        request=None,
        responses={200: answer("EmbeddingPingAnswer", EmbeddingPingSerializer()), **INVALID, **REFUSED, **MISSING},
        examples=example(EXAMPLE),
    )
    def post(self, request: Request, alias: str) -> Response:
        self.provider(alias)
        try:
            ping = connectivity.ping(alias)
        except ConfigurationError as exc:
            raise Impossible(str(exc)) from exc
        return Response({"success": True, "data": _data(ping)})


def _data(ping: Ping) -> dict[str, Any]:
    quota = ping.quota
    return {
        "alias": ping.alias,
        "modelId": ping.model_id,
        "dimensions": ping.dimensions,
        "isAnswering": not ping.error,
        "latencySeconds": ping.latency_seconds,
        "error": ping.error,
        "quota": quota and {name: {"used": used, "limit": limit} for name, (used, limit) in quota.items()},
    }
