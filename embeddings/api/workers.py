"""Workers: who lives, what they have in hand, and what they have done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import stats
from embeddings.api import permissions
from embeddings.api.base import EmbeddingsView
from embeddings.api.describing import REFUSED, TAG, answer, example
from embeddings.models import ALIVE_SECONDS, WorkerStatus
from embeddings.stats import Workforce

SILENT = "silent"

EXAMPLE = {
    "alive": 1,
    "redis": True,
    "workers": [
        {
            "name": "3f1c0b6a4c1d4d0e",
            "state": "active",
            "hostname": "worker-1",
            "pid": 4711,
            "heartbeatAt": "2026-01-31T18:00:00Z",
            "heartbeatSeconds": 1.2,
            "startedAt": "2026-01-31T09:00:00Z",
            "inHand": 256,
            "completed": 81230,
            "failed": 2,
            "rateLimited": 0,
            "lastError": "",
            "isKnownToRedis": True,
        }
    ],
    "onlyInRedis": [],
}


class EmbeddingWorkerSerializer(serializers.Serializer[WorkerStatus]):
    """One `rqworker` process."""

    name = serializers.CharField()
    state = serializers.SerializerMethodField(
        help_text=(
            "`active` (it holds tasks), `idle`, `error` (its last job ended with an exception; it goes on), or "
            f"`{SILENT}`: killed, or it cannot reach the database; others take over what it had in hand."
        )
    )
    hostname = serializers.CharField()
    pid = serializers.IntegerField(allow_null=True)
    heartbeatAt = serializers.DateTimeField(source="heartbeat_at")
    heartbeatSeconds = serializers.SerializerMethodField(help_text="How long ago that was.")
    startedAt = serializers.DateTimeField(source="started_at")
    inHand = serializers.IntegerField(source="claimed", help_text="Tasks.")
    completed = serializers.IntegerField(help_text="Tasks, since it started; so are the next two.")
    failed = serializers.IntegerField()
    rateLimited = serializers.IntegerField(source="rate_limited")
    lastError = serializers.CharField(source="last_error", help_text="Empty if nothing went wrong.")
    isKnownToRedis = serializers.SerializerMethodField(
        help_text="False of a live worker: it takes no new work from this Redis. Null while Redis cannot be asked."
    )

    def get_state(self, worker: WorkerStatus) -> str:
        return SILENT if worker.heartbeat_at <= self.context["alive_from"] else worker.state

    def get_heartbeatSeconds(self, worker: WorkerStatus) -> float:
        return max(0.0, (timezone.now() - worker.heartbeat_at).total_seconds())

    def get_isKnownToRedis(self, worker: WorkerStatus) -> bool | None:
        queue = self.context["queue"]
        return None if queue is None else worker.name in queue.workers


class EmbeddingWorkersSerializer(serializers.Serializer[Any]):
    """Who works."""

    alive = serializers.IntegerField(help_text="Workers with a heartbeat of the last half minute.")
    redis = serializers.BooleanField(help_text="Whether Redis answers.")
    workers = EmbeddingWorkerSerializer(
        many=True, help_text="The live ones, then those that fell silent within a day; not those that stopped in order."
    )
    onlyInRedis = serializers.ListField(
        child=serializers.CharField(), help_text="Names that only Redis knows: they cannot reach the database, or died."
    )


class WorkersView(EmbeddingsView):
    required_permission = permissions.VIEW_WORKER

    @extend_schema(
        operation_id="embeddings_workers",
        summary="Who works",
        description="As PostgreSQL and Redis know the workers: the two differ where a worker cannot reach one of them.",
        tags=[TAG],
        responses={200: answer("EmbeddingWorkersAnswer", EmbeddingWorkersSerializer()), **REFUSED},
        examples=example(EXAMPLE),
    )
    def get(self, request: Request) -> Response:
        force = stats.workforce()
        context = {"queue": force.queue, "alive_from": timezone.now() - timedelta(seconds=ALIVE_SECONDS)}
        return Response({"success": True, "data": EmbeddingWorkersSerializer(_data(force), context=context).data})


def _data(force: Workforce) -> dict[str, Any]:
    return {
        "alive": len(force.alive),
        "redis": force.queue is not None,
        "workers": [*force.alive, *force.silent],
        "onlyInRedis": force.only_in_redis,
    }
