"""Operations in the background: begun, watched, stopped."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, generics
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import operations
from embeddings.api import permissions, problems
from embeddings.api.base import CreatingView, EmbeddingsView
from embeddings.api.describing import CONFLICT, INVALID, MISSING, REFUSED, TAG, answer
from embeddings.api.idempotency import ONCE, PARAMETER, idempotent
from embeddings.api.pagination import Newest
from embeddings.api.progress import (
    EmbeddingBeginSerializer,
    EmbeddingOperationSerializer,
    EmbeddingPreviewSerializer,
    EmbeddingStopSerializer,
    attach_batches,
)
from embeddings.exceptions import ConfigurationError
from embeddings.models import EmbeddingOperation
from embeddings.stats import Preview

BEGIN = {"regenerate": operations.regenerate, "requeue": operations.requeue}
OPERATION = answer("EmbeddingOperationAnswer", EmbeddingOperationSerializer())
PREVIEW = answer("EmbeddingPreviewAnswer", EmbeddingPreviewSerializer())


def counted(preview: Preview) -> Response:
    """What an operation would come to."""
    return Response({"success": True, "data": EmbeddingPreviewSerializer(preview).data})


def shown(operation: EmbeddingOperation, status: int = 200) -> Response:
    """An operation as it is now."""
    attach_batches([operation])
    return Response({"success": True, "data": EmbeddingOperationSerializer(operation).data}, status=status)


class OperationList(CreatingView, generics.ListAPIView[EmbeddingOperation]):
    queryset = EmbeddingOperation.objects.all()
    serializer_class = EmbeddingOperationSerializer
    pagination_class = Newest
    filter_backends = ()

    @property
    def required_permission(self) -> str:
        return permissions.ADD_OPERATION if self.request.method == "POST" else permissions.VIEW_OPERATION

    @extend_schema(
        operation_id="embeddings_operations_list",
        summary="Operations, newest first",
        description="`next` and `previous` are the addresses of the neighbouring pages.",
        tags=[TAG],
        responses={200: EmbeddingOperationSerializer(many=True), **INVALID, **REFUSED, **MISSING},
    )
    def get(self, request: Request) -> Response:
        return super().get(request)

    @extend_schema(
        operation_id="embeddings_operations_begin",
        summary="Begin an operation on all rows of a model",
        description=(
            "Answers at once; workers do it, page by page. `regenerate` makes every vector anew, `requeue` those that "
            "are missing, stale or failed. With `dryRun` it is only counted. If one of the same kind runs on the model "
            "already, that one is the answer."
        ),
        tags=[TAG],
        parameters=[PARAMETER],
        request=EmbeddingBeginSerializer,
        responses={200: PREVIEW, 202: OPERATION, **INVALID, **REFUSED, **ONCE},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        wanted = EmbeddingBeginSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        kind, model = wanted.validated_data["kind"], wanted.validated_data["model"]
        try:
            if wanted.validated_data["dryRun"]:
                return counted(operations.preview(kind, model))
            begin: Any = BEGIN[kind]
            return shown(begin(model, by=request.user.get_username()), 202)
        except ConfigurationError as exc:
            raise problems.Impossible(str(exc)) from exc

    def paginate_queryset(self, queryset: Any) -> Any:
        page: Any = super().paginate_queryset(queryset)
        attach_batches(page)
        return page


class OperationView(EmbeddingsView):
    """Base of the views of one operation."""

    def operation(self, operation_id: int) -> EmbeddingOperation:
        operation = EmbeddingOperation.objects.filter(pk=operation_id).first()
        if operation is None:
            raise exceptions.NotFound(f"There is no operation {operation_id}.")
        return operation


class OperationDetail(OperationView):
    required_permission = permissions.VIEW_OPERATION

    @extend_schema(
        operation_id="embeddings_operations_read",
        summary="How far an operation is",
        description="Rows read and tasks opened by it, and the progress of its batch: the vectors made.",
        tags=[TAG],
        responses={200: OPERATION, **REFUSED, **MISSING},
    )
    def get(self, request: Request, operation_id: int) -> Response:
        return shown(self.operation(operation_id))


class OperationStop(OperationView):
    required_permission = permissions.STOP_OPERATION

    @extend_schema(
        operation_id="embeddings_operations_stop",
        summary="Stop an operation",
        description=(
            "It reads no further. What it has queued stays queued, or is cancelled too, which takes the permission to "
            "cancel tasks."
        ),
        tags=[TAG],
        request=EmbeddingStopSerializer,
        responses={200: OPERATION, **INVALID, **REFUSED, **MISSING, **CONFLICT},
    )
    def post(self, request: Request, operation_id: int) -> Response:
        wanted = EmbeddingStopSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        cancel = wanted.validated_data["cancel"]
        if cancel:
            permissions.require(request, permissions.CANCEL)
        operation = self.operation(operation_id)
        was_open = operation.is_open
        operations.stop(operation, cancel=cancel, by=request.user.get_username())
        if not was_open and not cancel:
            raise problems.Conflict(f"Operation {operation.pk} is {operation.get_state_display()} already.")
        return shown(operation)
