"""Batches: their progress, their failed tasks tried again, what waits cancelled."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, generics
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import operations
from embeddings.api import permissions
from embeddings.api.base import EmbeddingsView
from embeddings.api.describing import INVALID, MISSING, REFUSED, TAG, answer
from embeddings.api.pagination import Newest
from embeddings.api.progress import (
    EmbeddingBatchSerializer,
    EmbeddingRetriedSerializer,
    EmbeddingRolledBackSerializer,
    attach_progress,
)
from embeddings.models import EmbeddingBatch

ROLLED_BACK = answer("EmbeddingBatchRolledBackAnswer", EmbeddingRolledBackSerializer())


class BatchList(EmbeddingsView, generics.ListAPIView[EmbeddingBatch]):
    required_permission = permissions.VIEW_BATCH
    queryset = EmbeddingBatch.objects.all()
    serializer_class = EmbeddingBatchSerializer
    pagination_class = Newest
    filter_backends = ()

    @extend_schema(
        operation_id="embeddings_batches_list",
        summary="Batches, newest first",
        description="`next` and `previous` are the addresses of the neighbouring pages.",
        tags=[TAG],
        responses={200: EmbeddingBatchSerializer(many=True), **INVALID, **REFUSED, **MISSING},
    )
    def get(self, request: Request) -> Response:
        return super().get(request)

    def paginate_queryset(self, queryset: Any) -> Any:
        page: Any = super().paginate_queryset(queryset)
        attach_progress(page)
        return page


class BatchView(EmbeddingsView):
    """Base of the views of one batch."""

    def batch(self, batch_id: int) -> EmbeddingBatch:
        batch = EmbeddingBatch.objects.filter(pk=batch_id).first()
        if batch is None:
            raise exceptions.NotFound(f"There is no batch {batch_id}.")
        return batch


class BatchDetail(BatchView):
    required_permission = permissions.VIEW_BATCH

    @extend_schema(
        operation_id="embeddings_batches_read",
        summary="How far a batch is",
        description="Counts of its tasks now, and how long the rest will take at the speed of the last minute.",
        tags=[TAG],
        responses={200: answer("EmbeddingBatchAnswer", EmbeddingBatchSerializer()), **REFUSED, **MISSING},
    )
    def get(self, request: Request, batch_id: int) -> Response:
        batch = self.batch(batch_id)
        attach_progress([batch])
        return Response({"success": True, "data": EmbeddingBatchSerializer(batch).data})


class BatchRetry(BatchView):
    required_permission = permissions.RETRY

    @extend_schema(
        operation_id="embeddings_batches_retry",
        summary="Try the failed tasks of a batch again",
        description="They are due now, with all their attempts ahead. Nothing failed: nothing changed.",
        tags=[TAG],
        request=None,
        responses={200: answer("EmbeddingBatchRetriedAnswer", EmbeddingRetriedSerializer()), **REFUSED, **MISSING},
    )
    def post(self, request: Request, batch_id: int) -> Response:
        changed = operations.retry_failed(self.batch(batch_id), by=request.user.get_username())
        return Response({"success": True, "data": EmbeddingRetriedSerializer(changed).data})


class BatchRollBack(BatchView):
    required_permission = permissions.CANCEL

    @extend_schema(
        operation_id="embeddings_batches_roll_back",
        summary="Cancel what waits for a batch alone",
        description="What is done stays done, and what somebody else has asked for too is left.",
        tags=[TAG],
        request=None,
        responses={
            200: answer("EmbeddingBatchRolledBackAnswer", EmbeddingRolledBackSerializer()),
            **REFUSED,
            **MISSING,
        },
    )
    def post(self, request: Request, batch_id: int) -> Response:
        changed = operations.roll_back(self.batch(batch_id), by=request.user.get_username())
        return Response({"success": True, "data": EmbeddingRolledBackSerializer(changed).data})
