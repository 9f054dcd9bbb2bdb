"""What is paused: everything, providers, targets; paused and resumed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.text import capfirst
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import pauses, stats
from embeddings.api import permissions
from embeddings.api.base import EmbeddingsView
from embeddings.api.choices import none_of
from embeddings.api.describing import INVALID, MISSING, REFUSED, TAG, answer, example
from embeddings.api.parsing import StrictSerializer
from embeddings.exceptions import ConfigurationError
from embeddings.models import Pause

# Tasks that are counted for each pause, in each database.
MOST_COUNTED = 10_000
# Pauses that are listed: there is one at most of each provider and target.
MOST_LISTED = 1_000

EXAMPLE = {
    "kind": "target",
    "name": "content.article.embedding",
    "reason": "the bill is too high",
    "by": "anna",
    "since": "2026-01-31T17:00:00Z",
    "until": None,
    "waiting": 3412,
    "isAtLeast": False,
}
WANTED = {"kind": "target", "name": "content.article.embedding", "reason": "the bill is too high"}


class EmbeddingPauseNameSerializer(serializers.Serializer[Any]):
    """What a pause is of."""

    kind = serializers.ChoiceField(Pause.Kind.choices, error_messages=none_of(Pause.Kind.values))
    name = serializers.CharField(
        max_length=255,
        allow_blank=True,
        default="",
        help_text="An alias of EMBEDDING_PROVIDERS, or a target as `app.model.field`; empty for everything.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["kind"] == Pause.Kind.EVERYTHING and attrs["name"]:
            raise serializers.ValidationError({"name": "Leave it out: everything has no name."})
        return attrs


class EmbeddingPauseRequestSerializer(StrictSerializer, EmbeddingPauseNameSerializer):
    """What to pause, why, and for how long."""

    reason = serializers.CharField(max_length=500, help_text="Everybody who finds it paused will read it.")
    until = serializers.DateTimeField(
        allow_null=True, default=None, help_text="When it ends by itself; null: when somebody resumes it."
    )


class EmbeddingPauseSerializer(serializers.Serializer[Pause]):
    """A pause in force."""

    kind = serializers.ChoiceField(Pause.Kind.choices)
    name = serializers.CharField(help_text="Empty for everything.")
    reason = serializers.CharField()
    by = serializers.CharField(help_text="Who began it; empty for a program.")
    since = serializers.DateTimeField(source="created_at")
    until = serializers.DateTimeField(source="ends_at", allow_null=True, help_text="Null: when somebody resumes it.")
    waiting = serializers.SerializerMethodField(help_text="Tasks that it keeps waiting.")
    isAtLeast = serializers.SerializerMethodField(
        help_text=f"True: there are more than were counted, {MOST_COUNTED:,} in each database."
    )

    def to_representation(self, instance: Pause) -> Any:
        self.held = stats.held(instance.kind, instance.name, most=MOST_COUNTED)
        return super().to_representation(instance)

    def get_waiting(self, pause: Pause) -> int:
        return self.held.count

    def get_isAtLeast(self, pause: Pause) -> bool:
        return self.held.is_at_least


class EmbeddingPauseListSerializer(serializers.Serializer[Any]):
    """What is paused."""

    pauses = EmbeddingPauseSerializer(many=True)


class EmbeddingPauseEndedSerializer(serializers.Serializer[Any]):
    """What goes on."""

    message = serializers.CharField()


class PausesView(EmbeddingsView):
    @property
    def required_permission(self) -> str:
        return permissions.VIEW_PAUSE if self.request.method == "GET" else permissions.SET_PAUSE

    @extend_schema(
        operation_id="embeddings_pauses_list",
        summary="What is paused",
        description="With who, why and until when, and how many tasks wait for it to end.",
        tags=[TAG],
        responses={200: answer("EmbeddingPauseListAnswer", EmbeddingPauseListSerializer()), **REFUSED},
        examples=example({"pauses": [EXAMPLE]}),
    )
    def get(self, request: Request) -> Response:
        in_force = pauses.in_force().order_by("kind", "name")[:MOST_LISTED]
        return Response({"success": True, "data": EmbeddingPauseListSerializer({"pauses": in_force}).data})

    @extend_schema(
        operation_id="embeddings_pauses_begin",
        summary="Pause everything, a provider or a target",
        description=(
            "What is in hand is finished, and nothing more of it begun; saves go on recording what is to be embedded. "
            "A pause of the same thing is replaced."
        ),
        tags=[TAG],
        request=EmbeddingPauseRequestSerializer,
        responses={201: answer("EmbeddingPauseAnswer", EmbeddingPauseSerializer()), **INVALID, **REFUSED},
        examples=[OpenApiExample("Example", value=WANTED, request_only=True), *example(EXAMPLE, status=201)],
    )
    def post(self, request: Request) -> Response:
        wanted = EmbeddingPauseRequestSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        begun = begin(**wanted.validated_data, by=request.user.get_username())
        return Response({"success": True, "data": EmbeddingPauseSerializer(begun).data}, status=201)

    @extend_schema(
        operation_id="embeddings_pauses_end",
        summary="Let what is paused go on",
        description="What waited goes on at once.",
        tags=[TAG],
        parameters=[EmbeddingPauseNameSerializer],
        responses={
            200: answer("EmbeddingPauseEndedAnswer", EmbeddingPauseEndedSerializer()),
            **INVALID,
            **REFUSED,
            **MISSING,
        },
        examples=example({"message": "Target content.article.embedding goes on."}),
    )
    def delete(self, request: Request) -> Response:
        query = EmbeddingPauseNameSerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        named = Pause(**query.validated_data)
        if not pauses.resume(named.kind, named.name, by=request.user.get_username()):
            raise exceptions.NotFound(f"There is no pause of {named}.")
        return Response({"success": True, "data": {"message": f"{capfirst(str(named))} goes on."}})


def begin(*, kind: str, name: str, reason: str, until: datetime | None, by: str) -> Pause:
    """Pause something; what is wrong with the request is told as the API tells it."""
    try:
        return pauses.pause(kind, name, reason=reason, by=by, ends_at=until)
    except ConfigurationError as exc:
        raise exceptions.ValidationError({"name": str(exc)}) from exc
    except ValueError as exc:
        raise exceptions.ValidationError({"until": str(exc)}) from exc
