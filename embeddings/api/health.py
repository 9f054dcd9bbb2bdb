"""Health in one word, for monitors and for whoever wants to know what to do."""

from __future__ import annotations

from django.db import Error
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import stats
from embeddings.api import permissions
from embeddings.api.base import EmbeddingsView
from embeddings.api.describing import REFUSED, TAG, answer, example
from embeddings.stats import Health

# From so many failed tasks on a queue is not `healthy`, by the rule of the systems that had this word first.
MANY_FAILED = 100

WELL = {
    "level": "well",
    "sentence": "All is done: every vector that was asked for is there.",
    "advice": "",
    "healthy": True,
    "waiting": 0,
    "active": 0,
    "failed": 0,
    "waitingSeconds": None,
    "perSecond": 0.0,
    "workers": 2,
    "redis": True,
}
DOWN = WELL | {
    "level": "down",
    "sentence": "Nothing is working: no worker is alive, and 3,412 tasks wait.",
    "advice": "Start one: manage.py rqworker embeddings",
    "healthy": False,
    "waiting": 3412,
    "waitingSeconds": 720.5,
    "workers": 0,
}
AWAY = Health("down", "The database cannot be asked.", "Start it, or look at DATABASES.")


class EmbeddingHealthSerializer(serializers.Serializer[Health]):
    """How things stand. Tasks were counted some seconds ago."""

    level = serializers.ChoiceField(list(stats.EXIT_CODES), help_text="Work in progress is `well`.")
    sentence = serializers.CharField(help_text="What is the case.")
    advice = serializers.CharField(help_text="What to do; empty where there is nothing to do.")
    healthy = serializers.SerializerMethodField(help_text=f"Not `down`, and fewer than {MANY_FAILED} failed tasks.")
    waiting = serializers.IntegerField(help_text="Tasks that wait.")
    active = serializers.IntegerField(help_text="Tasks that workers have in hand.")
    failed = serializers.IntegerField(help_text="Tasks that are not tried again by themselves.")
    waitingSeconds = serializers.FloatField(
        source="waiting_seconds", allow_null=True, help_text="Of the task that has waited longest; null if none waits."
    )
    perSecond = serializers.FloatField(source="per_second", help_text="Tasks that ended, over the last minute.")
    workers = serializers.IntegerField(help_text="Those alive.")
    redis = serializers.BooleanField(help_text="Whether Redis answers.")

    def get_healthy(self, health: Health) -> bool:
        return health.level != "down" and health.failed < MANY_FAILED


ANSWER = answer("EmbeddingHealthAnswer", EmbeddingHealthSerializer())


class HealthView(EmbeddingsView):
    required_permission = permissions.VIEW

    @extend_schema(
        operation_id="embeddings_health",
        summary="How things stand, and what to do",
        description="`down` is answered with the status 503, `well` and `degraded` with 200; the body is the same.",
        tags=[TAG],
        responses={200: ANSWER, 503: OpenApiResponse(ANSWER, "`down`: nothing goes on."), **REFUSED},
        examples=[*example(WELL), *example(DOWN, status=503)],
    )
    def get(self, request: Request) -> Response:
        return _answer(stats.health())

    def handle_exception(self, exc: Exception) -> Response:
        """Without the database nobody knows who asks, so that he is told no more than this."""
        return _answer(AWAY) if isinstance(exc, Error) else super().handle_exception(exc)


def _answer(health: Health) -> Response:
    body = {"success": True, "data": EmbeddingHealthSerializer(health).data}
    response = Response(body, status=503 if health.level == "down" else 200)
    # Django would log each 503 as an error, and mail it to ADMINS, as often as a monitor asks.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
