"""The ledger in numbers: counts, speed, coverage, and what went wrong."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import stats
from embeddings.api import permissions
from embeddings.api.base import EmbeddingsView
from embeddings.api.describing import REFUSED, TAG, answer, example
from embeddings.stats import Coverage, Failures, Situation

EXAMPLE = {
    "counts": {
        "byStatus": {"pending": 3412, "scheduled": 0, "rate_limited": 0, "processing": 256, "completed": 81230},
        "countedAt": "2026-01-31T18:00:00Z",
        "isEstimate": False,
    },
    "waiting": 3412,
    "active": 256,
    "waitingSeconds": 16.2,
    "perSecond": 210.0,
    "etaSeconds": 17.5,
    "coverage": [
        {
            "target": "content.article.embedding",
            "database": "default",
            "rows": 84900,
            "embedded": 81230,
            "stale": 0,
            "waiting": 3668,
            "missing": 0,
            "empty": 0,
            "failed": 2,
            "cancelled": 0,
            "isEstimate": False,
        }
    ],
    "failures": [
        {
            "signature": "input: InputTooLong 400: the text has … tokens",
            "database": "default",
            "count": 2,
            "isAtLeast": False,
            "firstSeen": "2026-01-31T17:20:00Z",
            "lastSeen": "2026-01-31T17:58:00Z",
            "kind": "input",
            "class": "InputTooLong",
            "httpStatus": 400,
            "message": "content.Article 12: the text has 9,214 tokens",
            "taskIds": [81, 12],
        }
    ],
}


class EmbeddingCountsSerializer(serializers.Serializer[stats.LedgerCounts]):
    """All tasks, as a worker counted them last."""

    byStatus = serializers.DictField(
        source="by_status", child=serializers.IntegerField(), help_text="{status: tasks}, with every status."
    )
    countedAt = serializers.DateTimeField(source="counted_at", allow_null=True, help_text="Null: just now.")
    isEstimate = serializers.BooleanField(source="is_estimate", help_text="True: only a part of the ledger was read.")


class EmbeddingCoverageSerializer(serializers.Serializer[Coverage]):
    """How much of one target is embedded. The parts add up to `rows`."""

    target = serializers.CharField(help_text="As `app.model.field`.")
    database = serializers.CharField(source="using")
    rows = serializers.IntegerField()
    embedded = serializers.IntegerField(help_text="With a vector of their present text, by the present model.")
    stale = serializers.IntegerField(help_text="With one of an older text or of another model.")
    waiting = serializers.IntegerField(help_text="For their first vector.")
    missing = serializers.IntegerField(help_text="Without a task: `manage.py requeue_missing` finds them.")
    empty = serializers.IntegerField(help_text="Without a text to embed.")
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    isEstimate = serializers.BooleanField(source="is_estimate")


class EmbeddingFailuresSerializer(serializers.Serializer[Failures]):
    """Failed tasks with the same cause."""

    signature = serializers.CharField(help_text="What they have in common; tasks can be filtered by it.")
    database = serializers.CharField(source="using")
    count = serializers.IntegerField()
    isAtLeast = serializers.BooleanField(source="is_at_least", help_text="True: there are more than were counted.")
    firstSeen = serializers.DateTimeField(source="first_seen")
    lastSeen = serializers.DateTimeField(source="last_seen")
    kind = serializers.CharField(source="error_kind")
    httpStatus = serializers.IntegerField(source="error_status", allow_null=True)
    message = serializers.CharField(source="error_message", help_text="Of one of them.")
    taskIds = serializers.SerializerMethodField(help_text="Some of them, the latest first.")

    def get_fields(self) -> Any:
        return {**super().get_fields(), "class": serializers.CharField(source="error_class")}

    def get_taskIds(self, group: Failures) -> list[int]:
        return [task.pk for task in group.examples]


class EmbeddingStatsSerializer(serializers.Serializer[Any]):
    """The ledger in numbers."""

    counts = EmbeddingCountsSerializer()
    waiting = serializers.IntegerField(help_text="Tasks that wait: pending, scheduled or rate limited.")
    active = serializers.IntegerField(help_text="Tasks that workers have in hand.")
    waitingSeconds = serializers.FloatField(
        allow_null=True, help_text="Of the task that has waited longest; null if none waits."
    )
    perSecond = serializers.FloatField(help_text="Tasks that ended, over the last minute.")
    etaSeconds = serializers.FloatField(
        allow_null=True, help_text="Until all is done at this speed; null if nothing moves."
    )
    coverage = EmbeddingCoverageSerializer(many=True, help_text="Of each target.")
    failures = EmbeddingFailuresSerializer(
        many=True, help_text=f"At most {stats.MOST_GROUPS} groups, the largest first."
    )


class StatsView(EmbeddingsView):
    required_permission = permissions.VIEW

    @extend_schema(
        operation_id="embeddings_stats",
        summary="The ledger in numbers",
        description="Quick at any size: workers count the ledger from time to time, and `countedAt` says when.",
        tags=[TAG],
        responses={200: answer("EmbeddingStatsAnswer", EmbeddingStatsSerializer()), **REFUSED},
        examples=example(EXAMPLE),
    )
    def get(self, request: Request) -> Response:
        data = _numbers(stats.situation()) | {"coverage": stats.coverage(), "failures": stats.failures()}
        return Response({"success": True, "data": EmbeddingStatsSerializer(data).data})


def _numbers(now: Situation) -> dict[str, Any]:
    return {
        "counts": now.counts,
        "waiting": now.waiting,
        "active": now.in_hand,
        "waitingSeconds": now.waiting_seconds,
        "perSecond": now.speed,
        "etaSeconds": now.eta_seconds,
    }
