"""All tasks that match a filter: what it would come to, and then done in the background."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import operations
from embeddings.api import permissions, problems
from embeddings.api.base import CreatingView
from embeddings.api.choices import none_of
from embeddings.api.describing import INVALID, REFUSED, TAG
from embeddings.api.filters import EmbeddingTaskFilterSerializer
from embeddings.api.idempotency import ONCE, PARAMETER, idempotent
from embeddings.api.operations import OPERATION, PREVIEW, counted, shown
from embeddings.api.parsing import StrictSerializer
from embeddings.exceptions import ConfigurationError
from embeddings.task_filter import TaskFilter

BEGIN = {
    "retry": (permissions.RETRY, operations.retry_matching),
    "cancel": (permissions.CANCEL, operations.cancel_matching),
    "clear": (permissions.CLEAR, operations.clear_matching),
}


class EmbeddingBulkSerializer(StrictSerializer):
    """What to do to which tasks."""

    action = serializers.ChoiceField(choices=[*BEGIN], error_messages=none_of(BEGIN))
    filter = EmbeddingTaskFilterSerializer(required=False)
    all = serializers.BooleanField(default=False, help_text="Needed where the filter is empty: it means every task.")
    dryRun = serializers.BooleanField(default=True, help_text="False: do it. Else it is only counted.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["all"] and not set(attrs.get("filter", {})) - {"wanted"}:
            raise serializers.ValidationError(
                "The filter is empty, which means every task: say which you mean, or add all=true."
            )
        return attrs


class TaskBulk(CreatingView):
    required_permission = permissions.VIEW

    @extend_schema(
        operation_id="embeddings_tasks_bulk",
        summary="Retry, cancel or clear all tasks that match",
        description=(
            "A dry run, unless `dryRun` is false: it counts what would be changed. Otherwise an operation is begun "
            "that does it in the background. Needs the permission to retry, cancel or clear tasks too."
        ),
        tags=[TAG],
        parameters=[PARAMETER],
        request=EmbeddingBulkSerializer,
        responses={
            200: PREVIEW,
            202: OPERATION,
            **INVALID,
            **REFUSED,
            **ONCE,
        },
        examples=[
            OpenApiExample(
                "Failed tasks of one model",
                value={"action": "retry", "filter": {"status": ["failed"], "model": "content.note"}, "dryRun": True},
                request_only=True,
            ),
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = EmbeddingBulkSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        needed, begin = BEGIN[asked["action"]]
        permissions.require(request, needed)
        wanted = asked["filter"]["wanted"] if "filter" in asked else TaskFilter()
        if asked["dryRun"]:
            return counted(operations.preview(asked["action"], wanted))
        try:
            return shown(begin(wanted, by=request.user.get_username()), 202)
        except ConfigurationError as exc:
            raise problems.Impossible(str(exc)) from exc
