"""What the API says of objects in boxes, and how its schema says so."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from embeddings.api.describing import INVALID, REFUSED, THROTTLED, UNAVAILABLE, answer
from embeddings.api.filters import LARGEST_ID
from embeddings.api.idempotency import ONCE, PARAMETER


class EmbeddingWaitSerializer(serializers.Serializer[Any]):
    """Whether to wait for the vector."""

    wait = serializers.BooleanField(
        default=False, help_text="True: store it at once, with its vector, before answering; one object only."
    )


class EmbeddingBoxedSerializer(serializers.Serializer[Any]):
    """An object that is on its way. `entityId` is the key that it will have."""

    entityId = serializers.CharField()
    taskId = serializers.IntegerField(allow_null=True, help_text="Null: embedding is switched off, so it is stored.")


class EmbeddingBoxErrorSerializer(serializers.Serializer[Any]):
    """What went wrong last."""

    kind = serializers.CharField(help_text="`rate_limit`, `transient`, `input`, `configuration` or `crash`.")
    message = serializers.CharField()


class EmbeddingBoxStateSerializer(serializers.Serializer[Any]):
    """Where an object is on its way."""

    entityId = serializers.CharField(source="entity_id")
    taskId = serializers.IntegerField(source="task_id")
    status = serializers.CharField(help_text="The state of its task.")
    isStored = serializers.BooleanField(source="is_stored")
    error = EmbeddingBoxErrorSerializer(allow_null=True)


class EmbeddingBoxQuerySerializer(serializers.Serializer[Any]):
    """Which object: one of the two."""

    task = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_ID, help_text="A task's id.")
    entity = serializers.CharField(required=False, max_length=255, help_text="An object's key.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise ValidationError({"task": "Say which object: give this or `entity`."})
        return attrs


BOXED = PolymorphicProxySerializer(
    component_name="EmbeddingBoxedAnswers",
    serializers=[
        answer("EmbeddingBoxedAnswer", EmbeddingBoxedSerializer()),
        answer("EmbeddingBoxedListAnswer", EmbeddingBoxedSerializer(many=True)),
    ],
    resource_type_field_name=None,
    many=False,
)
STATE = answer("EmbeddingBoxStateAnswer", EmbeddingBoxStateSerializer())
PARAMETERS: list[Any] = [PARAMETER, EmbeddingWaitSerializer]


def boxed_request(serializer: type[serializers.Serializer[Any]]) -> PolymorphicProxySerializer:
    """For the schema: one object, or a list of them."""
    return PolymorphicProxySerializer(
        component_name=f"{serializer.__name__.removesuffix('Serializer')}Request",
        serializers=[serializer(), serializer(many=True)],
        resource_type_field_name=None,
        many=False,
    )


def boxed_responses(stored: Any) -> dict[int, Any]:
    """For the schema: what the calls answer, given the answer with a stored object."""
    return {201: stored, 202: BOXED, **INVALID, **REFUSED, **ONCE, **THROTTLED, **UNAVAILABLE}
