"""Tasks: each view reads, or makes one call of `operations`."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import exceptions, generics
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import operations, stats
from embeddings.api import filters, permissions, problems, serializers
from embeddings.api.base import EmbeddingsView
from embeddings.api.describing import CONFLICT, INVALID, MISSING, REFUSED, TAG, TOO_SLOW, answer
from embeddings.api.task_pages import TaskPages, order_of
from embeddings.models import EmbeddingTask, Status
from embeddings.operations import Changed

RETRIED = {"success": True, "data": {"changed": 1, "skipped": 0, "status": "pending"}}
CANCELLED = {"success": True, "data": {"changed": 1, "skipped": 0, "status": "cancelled"}}
CHANGE = answer("EmbeddingChangeAnswer", serializers.EmbeddingChangeSerializer())


def _example(value: object) -> list[OpenApiExample]:
    return [OpenApiExample("Example", value=value, response_only=True, status_codes=["200"])]


class TaskList(EmbeddingsView, generics.GenericAPIView[EmbeddingTask]):
    required_permission = permissions.VIEW
    queryset = EmbeddingTask.objects.defer("payload")
    serializer_class = serializers.EmbeddingTaskSerializer
    pagination_class = TaskPages
    filter_backends = ()

    @extend_schema(
        operation_id="embeddings_tasks_list",
        summary="Tasks, newest first",
        description=(
            "Several statuses are joined by “or”, different parameters by “and”. The tasks of a whole model, field or "
            "provider come by the keys of their objects instead. `next` and `previous` are the addresses of the "
            "neighbouring pages."
        ),
        tags=[TAG],
        parameters=[filters.EmbeddingTaskQuerySerializer],
        responses={
            200: serializers.EmbeddingTaskSerializer(many=True),
            **INVALID,
            **REFUSED,
            **MISSING,
            **TOO_SLOW,
        },
    )
    def get(self, request: Request) -> Response:
        query = filters.EmbeddingTaskQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        wanted = query.validated_data["wanted"]
        pages: Any = self.paginator
        pages.order = order_of(wanted, is_of_object="object_id" in query.validated_data)
        tasks = filters.tasks_of(query.validated_data).defer("payload")
        page = pages.read(tasks, wanted.statuses, request)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class TaskView(EmbeddingsView):
    """Base of the views of one task."""

    def task(self, task_id: int) -> EmbeddingTask:
        task = EmbeddingTask.objects.defer("payload").filter(pk=task_id).first()
        if task is None:
            raise exceptions.NotFound(f"There is no task {task_id}.")
        return task


class TaskDetail(TaskView):
    required_permission = permissions.VIEW

    @extend_schema(
        operation_id="embeddings_tasks_read",
        summary="One task",
        description="How far one object's embedding is, what went wrong, and its latest attempts.",
        tags=[TAG],
        responses={
            200: answer("EmbeddingTaskAnswer", serializers.EmbeddingTaskDetailSerializer()),
            **REFUSED,
            **MISSING,
        },
    )
    def get(self, request: Request, task_id: int) -> Response:
        task: Any = self.task(task_id)
        task.timeline = stats.timeline(task)
        return Response({"success": True, "data": serializers.EmbeddingTaskDetailSerializer(task).data})


class TaskRetry(TaskView):
    required_permission = permissions.RETRY

    @extend_schema(
        operation_id="embeddings_tasks_retry",
        summary="Try a task again",
        description="A failed, cancelled, scheduled or rate limited task is due now, with all its attempts ahead.",
        tags=[TAG],
        request=None,
        responses={200: CHANGE, **REFUSED, **MISSING, **CONFLICT},
        examples=_example(RETRIED),
    )
    def post(self, request: Request, task_id: int) -> Response:
        task = self.task(task_id)
        return _changed(task, operations.retry(_only(task), by=request.user.get_username()), RETRY_REFUSALS)


class TaskCancel(TaskView):
    required_permission = permissions.CANCEL

    @extend_schema(
        operation_id="embeddings_tasks_cancel",
        summary="Stop a task",
        description="A task that is not done is not worked on; a later save of its object opens it again.",
        tags=[TAG],
        request=None,
        responses={200: CHANGE, **REFUSED, **MISSING, **CONFLICT},
        examples=_example(CANCELLED),
    )
    def post(self, request: Request, task_id: int) -> Response:
        task = self.task(task_id)
        return _changed(task, operations.cancel(_only(task), by=request.user.get_username()), CANCEL_REFUSALS)


RETRY_REFUSALS: dict[str, str] = {
    Status.PENDING: "It waits for the next free worker already.",
    Status.PROCESSING: "A worker has it in hand; wait for the outcome.",
    Status.COMPLETED: "If its vector is lost, `manage.py requeue_missing` finds it.",
    Status.EMPTY: "The object has no text to embed.",
}
CANCEL_REFUSALS: dict[str, str] = {
    Status.COMPLETED: "It is done already.",
    Status.EMPTY: "It is done already: the object has no text to embed.",
    Status.FAILED: "It is not tried again by itself.",
    Status.CANCELLED: "There is nothing to stop.",
}
BUSY = "A worker is just writing it; try again in a moment."


def _only(task: EmbeddingTask) -> QuerySet[EmbeddingTask]:
    return EmbeddingTask.objects.filter(pk=task.pk)


def _changed(task: EmbeddingTask, changed: Changed, refusals: dict[str, str]) -> Response:
    if not changed.changed:
        raise problems.Conflict(f"Task {task.pk} is {task.get_status_display()}. {refusals.get(task.status, BUSY)}")
    status = _only(task).values_list("status", flat=True).get()
    return Response(
        {"success": True, "data": {"changed": changed.changed, "skipped": changed.skipped, "status": status}}
    )
