"""Notes (002): made in a box, so that none appears before it can be found by meaning."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as Invalid
from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import boxes
from embeddings.api.describing import UNAVAILABLE
from embeddings.api.problems import Unavailable
from embeddings.exceptions import ConfigurationError, InputRejected, ProviderError
from project.content.api.base import INVALID, MISSING, REFUSED, ContentPagination, ContentViewSet, enveloped
from project.content.api.statuses import StatusField
from project.content.models import Note

TAG = "notes"


class NoteSerializer(serializers.ModelSerializer):
    """A note."""

    url = serializers.CharField(source="get_absolute_url", read_only=True)
    embedding = StatusField()

    class Meta:
        model = Note
        fields = ("id", "slug", "title", "text", "created_at", "url", "embedding")


class NewNoteSerializer(NoteSerializer):
    """A note to be made."""

    immediate = serializers.BooleanField(
        default=False,
        write_only=True,
        help_text="True: store it at once, with its vector, before answering.",
    )

    class Meta(NoteSerializer.Meta):
        fields = (*NoteSerializer.Meta.fields, "immediate")


class BoxedNoteSerializer(serializers.Serializer):
    """A note that is on its way. `entityId` is the id that it will have."""

    entityId = serializers.UUIDField()
    taskId = serializers.IntegerField()


class NoteErrorSerializer(serializers.Serializer):
    """What went wrong last."""

    kind = serializers.CharField(help_text="`rate_limit`, `transient`, `input`, `configuration` or `crash`.")
    message = serializers.CharField()


class NoteStateSerializer(serializers.Serializer):
    """Where a note is on its way."""

    entityId = serializers.UUIDField(source="entity_id")
    taskId = serializers.IntegerField(source="task_id")
    status = serializers.CharField(help_text="The state of its task.")
    isStored = serializers.BooleanField(source="is_stored")
    error = NoteErrorSerializer(allow_null=True)


class NoteStateQuerySerializer(serializers.Serializer):
    """Which note: one of the two."""

    task = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1, help_text="A task's id.")
    entity = serializers.UUIDField(required=False, help_text="A note's id.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise ValidationError({"task": "Say which note: give this or `entity`."})
        return attrs


class NotePagination(ContentPagination):
    """Newest first, which keys do not tell."""

    ordering = ("-created_at", "-pk")


@extend_schema_view(
    list=extend_schema(operation_id="notes_list", summary="Notes, newest first", tags=[TAG]),
    retrieve=extend_schema(operation_id="notes_read", summary="One note", tags=[TAG]),
    update=extend_schema(operation_id="notes_update", summary="Write a note anew", tags=[TAG]),
    partial_update=extend_schema(operation_id="notes_change", summary="Change parts of a note", tags=[TAG]),
    destroy=extend_schema(operation_id="notes_delete", summary="Delete a note", tags=[TAG]),
)
class Notes(ContentViewSet):
    """A new note waits in a box until its vector is made; it appears together with it."""

    queryset = Note.objects.defer("embedding")
    serializer_class = NoteSerializer
    pagination_class = NotePagination
    lookup_value_converter = "uuid"

    @extend_schema(
        operation_id="notes_create",
        summary="Make a note",
        description=(
            "Answers in milliseconds with the id that the note will have, and the task that will store it; nobody sees "
            "the note before. With `immediate` it waits for the provider, and answers with the stored note."
        ),
        tags=[TAG],
        request=NewNoteSerializer,
        responses={
            201: enveloped(NoteSerializer),
            202: enveloped(BoxedNoteSerializer),
            **INVALID,
            **REFUSED,
            **UNAVAILABLE,
        },
    )
    def create(self, request: Request) -> Response:
        wanted = NewNoteSerializer(data=request.data, context=self.get_serializer_context())
        wanted.is_valid(raise_exception=True)
        values = dict(wanted.validated_data)
        if values.pop("immediate"):
            return self._stored(_create_now(values))
        boxed = _valid(Note.objects.create_boxed, values)
        if boxed.task_id is None:  # Embedding is switched off, so it is stored already.
            return self._stored(Note.objects.defer("embedding").get(pk=boxed.entity_id))
        return Response({"entityId": boxed.entity_id, "taskId": boxed.task_id}, 202)

    @extend_schema(
        operation_id="notes_state",
        summary="Where a note is on its way",
        description="By the id of its task, or by its own.",
        tags=[TAG],
        parameters=[NoteStateQuerySerializer],
        responses={200: enveloped(NoteStateSerializer), **INVALID, **REFUSED, **MISSING},
    )
    @action(detail=False)
    def status(self, request: Request) -> Response:
        query = NoteStateQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        if "task" in query.validated_data:
            state = boxes.state(query.validated_data["task"])
        else:
            state = boxes.state_of(Note, query.validated_data["entity"])
        if state is None or state.model != Note._meta.label_lower:
            raise NotFound("There is no such note, neither stored nor on its way.")
        return Response(NoteStateSerializer(state).data)

    def get_object(self) -> Note:
        """A boxed note is not there yet; the answer says how far it is."""
        try:
            return super().get_object()
        except Http404 as exc:
            state = boxes.state_of(Note, self.kwargs["pk"])
            if state is None or state.is_stored:
                raise
            hint = f"This note is not stored yet; task {state.task_id}, which makes its vector, is {state.status}."
            raise NotFound(hint, code="boxed") from exc

    def _stored(self, note: Note) -> Response:
        return Response(NoteSerializer(note, context=self.get_serializer_context()).data, 201)


def _create_now(values: dict[str, Any]) -> Note:
    try:
        return _valid(Note.objects.create_now, values)
    except InputRejected as exc:
        raise ValidationError(f"The provider does not take this text: {exc}") from exc
    except (ProviderError, ConfigurationError) as exc:
        raise Unavailable(
            "The note was not stored, because its vector cannot be made now; send it without `immediate`."
        ) from exc


def _valid(create: Any, values: dict[str, Any]) -> Any:
    """What `create` makes; what it refuses is told as the API tells it."""
    try:
        return create(**values)
    except Invalid as exc:
        raise ValidationError(exc.message_dict) from exc
