"""Blocks (000): one by one as people write them, or many at once from a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings.api.describing import answer
from project.content import importing
from project.content.api.base import INVALID, MISSING, REFUSED, ContentView, ContentViewSet
from project.content.api.filters import WholeNumberFilter
from project.content.api.statuses import StatusField, attach_statuses
from project.content.api.task_ids import TaskIdField, attach_task_ids
from project.content.models import Block, Page
from project.content.visibility import may, visible

TAG = "pages"
MOST_IMPORTED = 5_000


class OwnPageField(serializers.PrimaryKeyRelatedField):
    """A page that the user may see."""

    def get_queryset(self) -> QuerySet[Page]:
        return visible(Page, self.context["request"].user)


class BlockSerializer(serializers.ModelSerializer):
    """A short piece of a page."""

    page = OwnPageField(queryset=Page.objects.all())
    embedding = StatusField()
    taskId = TaskIdField()

    class Meta:
        model = Block
        fields = ("id", "page", "position", "text", "updated_at", "embedding", "taskId")


class BlockFilter(filters.FilterSet):
    page = WholeNumberFilter(field_name="page_id", help_text="The id of a page.")

    class Meta:
        model = Block
        fields = ()


@extend_schema_view(
    list=extend_schema(operation_id="blocks_list", summary="Blocks, newest first", tags=[TAG]),
    create=extend_schema(operation_id="blocks_create", summary="Write a block", tags=[TAG]),
    retrieve=extend_schema(operation_id="blocks_read", summary="One block", tags=[TAG]),
    update=extend_schema(operation_id="blocks_update", summary="Write a block anew", tags=[TAG]),
    partial_update=extend_schema(operation_id="blocks_change", summary="Change parts of a block", tags=[TAG]),
    destroy=extend_schema(operation_id="blocks_delete", summary="Delete a block", tags=[TAG]),
)
class Blocks(ContentViewSet):
    """A save here is a person's: it goes ahead of everything else, and waits for nothing."""

    queryset = Block.objects.all()
    serializer_class = BlockSerializer
    filter_backends = [filters.DjangoFilterBackend]
    filterset_class = BlockFilter
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[Block]:
        return visible(Block, self.request.user).defer("embedding", "words")

    def attach(self, page: Any) -> None:
        attach_statuses(page)
        attach_task_ids(page)


class ImportedBlockSerializer(serializers.Serializer):
    """A block as a program sends it."""

    id = serializers.IntegerField(required=False, help_text="The block to change; without it a new one is made.")
    position = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    text = serializers.CharField(allow_blank=True, trim_whitespace=False)


class BlockImportSerializer(serializers.Serializer):
    """What a program sends: the blocks of one page, or some of them."""

    blocks = ImportedBlockSerializer(many=True, allow_empty=False, max_length=MOST_IMPORTED)


class BlocksImportedSerializer(serializers.Serializer):
    """What an import did."""

    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    ids = serializers.ListField(child=serializers.IntegerField(), help_text="Of all blocks, in the order of the call.")


class BlockImport(ContentView):
    """No person waits for an import, whoever has started it."""

    queryset = Block.objects.all()

    @extend_schema(
        operation_id="blocks_import",
        summary="Write many blocks of a page in the background",
        description=(
            f"At most {MOST_IMPORTED:,} blocks, all of them or none. Their vectors wait five seconds, and behind what "
            "people save; further imports of a block within that time are one text to embed."
        ),
        tags=[TAG],
        request=BlockImportSerializer,
        responses={
            202: answer("BlocksImportedAnswer", BlocksImportedSerializer()),
            **INVALID,
            **REFUSED,
            **MISSING,
        },
    )
    def post(self, request: Request, page_id: int) -> Response:
        page = get_object_or_404(visible(Page, request.user), pk=page_id)
        sent = BlockImportSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        rows = [importing.Row(**row) for row in sent.validated_data["blocks"]]
        _check_may_change(request, rows)
        try:
            imported = importing.import_blocks(page, rows)
        except importing.UnknownBlocks as exc:
            raise exceptions.ValidationError({"blocks": str(exc)}) from exc
        return Response({"created": imported.created, "updated": imported.updated, "ids": imported.ids}, status=202)


def _check_may_change(request: Request, rows: Sequence[importing.Row]) -> None:
    if any(row.id is not None for row in rows) and not may(request.user, "change", Block):
        raise exceptions.PermissionDenied("To change blocks this needs the permission content.change_block.")
