"""Alerts: what needs somebody now, and what has."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import conf
from embeddings.api import permissions
from embeddings.api.base import EmbeddingsView
from embeddings.api.describing import INVALID, MISSING, REFUSED, TAG, example_of_one
from embeddings.api.pagination import Newest
from embeddings.models import Alert

EXAMPLE = {
    "id": 12,
    "kind": "no_worker",
    "subject": "",
    "message": "Nothing is working: no worker is alive, and 3,412 tasks wait. Start one: manage.py rqworker embeddings",
    "raisedAt": "2026-01-31T18:00:00Z",
    "overAt": None,
}


class EmbeddingAlertSerializer(serializers.ModelSerializer[Alert]):
    """Something that is wrong, from when it was noticed until it is over."""

    raisedAt = serializers.DateTimeField(source="raised_at", read_only=True)
    overAt = serializers.DateTimeField(
        source="over_at", read_only=True, allow_null=True, help_text="Null: it is still so."
    )

    class Meta:
        model = Alert
        fields = ("id", "kind", "subject", "message", "raisedAt", "overAt")
        read_only_fields = fields
        extra_kwargs = {
            "subject": {"help_text": "A provider's alias; empty for what is about everything."},
            "message": {"help_text": "What is wrong, and what to do."},
        }


class EmbeddingAlertsQuerySerializer(serializers.Serializer[Any]):
    """The parameters of the list."""

    open = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="Only what is still so, or only what is over."
    )


class AlertList(EmbeddingsView, generics.ListAPIView[Alert]):
    required_permission = permissions.VIEW_ALERT
    queryset = Alert.objects.all()
    serializer_class = EmbeddingAlertSerializer
    pagination_class = Newest
    filter_backends = ()

    @extend_schema(
        operation_id="embeddings_alerts_list",
        summary="Alerts, newest first",
        description="`next` and `previous` are the addresses of the neighbouring pages.",
        tags=[TAG],
        parameters=[EmbeddingAlertsQuerySerializer],
        responses={200: EmbeddingAlertSerializer(many=True), **INVALID, **REFUSED, **MISSING},
        examples=example_of_one(EXAMPLE),
    )
    def get(self, request: Request) -> Response:
        return super().get(request)

    def get_queryset(self) -> QuerySet[Alert]:
        query = EmbeddingAlertsQuerySerializer(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        alerts = Alert.objects.using(conf.current().databases[0])
        is_open = query.validated_data["open"]
        return alerts if is_open is None else alerts.filter(over_at__isnull=is_open)
