"""Notes (002): made in a box, so that none appears before it can be found by meaning."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import boxes
from embeddings.api.boxed_answers import (
    PARAMETERS,
    STATE,
    EmbeddingBoxQuerySerializer,
    boxed_request,
    boxed_responses,
)
from embeddings.api.boxes import BoxedCreateMixin
from embeddings.api.idempotency import idempotent
from embeddings.api.throttling import SpendingThrottle
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
class Notes(BoxedCreateMixin, ContentViewSet):
    """A new note waits in a box until its vector is made; it appears together with it."""

    queryset = Note.objects.defer("embedding")
    serializer_class = NoteSerializer
    pagination_class = NotePagination
    lookup_value_converter = "uuid"

    @extend_schema(
        operation_id="notes_create",
        summary="Make a note, or several",
        description=(
            "Answers in milliseconds with the id that the note will have, and the task that will store it; nobody sees "
            "the note before. With `wait`, or `immediate` in the body, it waits for the provider, and answers with the "
            f"stored note. A list of up to {BoxedCreateMixin.max_objects} notes is stored together, or not at all."
        ),
        tags=[TAG],
        parameters=PARAMETERS,
        request=boxed_request(NewNoteSerializer),
        responses=boxed_responses(enveloped(NoteSerializer)),
    )
    @idempotent
    def create(self, request: Request) -> Response:
        data, status = self.made(request)
        return Response(data, status)

    @extend_schema(
        operation_id="notes_state",
        summary="Where a note is on its way",
        description="By the id of its task, or by its own.",
        tags=[TAG],
        parameters=[EmbeddingBoxQuerySerializer],
        responses={200: STATE, **INVALID, **REFUSED, **MISSING},
    )
    @action(detail=False)
    def status(self, request: Request) -> Response:
        return Response(self.state(request))

    def get_serializer_class(self) -> type[serializers.BaseSerializer]:
        return NewNoteSerializer if self.action == "create" else NoteSerializer

    def get_throttles(self) -> list[Any]:
        """Making a note has a provider asked."""
        return [*super().get_throttles(), *([SpendingThrottle()] if self.action == "create" else [])]

    def is_waited_for(self, request: Request, values: dict[str, Any]) -> bool:
        """Also as the older system had it."""
        return values.pop("immediate") or super().is_waited_for(request, values)

    def shown(self, stored: Any) -> Any:
        return NoteSerializer(stored, context=self.get_serializer_context()).data

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
