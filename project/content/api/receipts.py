"""Receipts (004): one by one, and as uploads of many."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db.models import Prefetch
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import stats
from embeddings.api.describing import PROBLEM
from embeddings.models import EmbeddingBatch
from project.content.api.base import INVALID, MISSING, REFUSED, ContentViewSet, enveloped
from project.content.api.receipt_serializers import ReceiptSerializer
from project.content.api.statuses import attach_statuses
from project.content.models import Receipt, ReceiptItem
from project.content.receipt_files import MAX_RECEIPTS, Unreadable, check_count, read_receipts
from project.content.uploads import KIND, Rejected, Upload, create_receipts

TAG = "receipts"
TOO_LARGE = {413: OpenApiResponse(PROBLEM, "The request is larger than the server takes; send a file, or parts.")}
# Problems that a refusal of a whole upload quotes.
QUOTED = 5


class ReceiptProblemSerializer(serializers.Serializer):
    field = serializers.CharField(help_text="Such as `total`, or `items.2.price` of the second item.")
    message = serializers.CharField()


class ReceiptRejectedSerializer(serializers.Serializer):
    position = serializers.IntegerField(help_text="Of the receipt in the upload; the first is 1.")
    problems = ReceiptProblemSerializer(many=True)


class ReceiptUploadSerializer(serializers.Serializer):
    """What became of an upload."""

    batchId = serializers.IntegerField()
    created = serializers.IntegerField(help_text="Receipts that were stored.")
    rejected = ReceiptRejectedSerializer(many=True)
    progress = serializers.CharField(help_text="Where to ask how far the vectors are.")


class ReceiptFileSerializer(serializers.Serializer):
    file = serializers.FileField(help_text="A .json or .csv file.")


class ReceiptBatchSerializer(serializers.Serializer):
    """How far an upload is, counted in vectors: two a receipt, one an item."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    total = serializers.IntegerField()
    pending = serializers.IntegerField()
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    share = serializers.FloatField(help_text="The part that is settled, 0 to 1.")
    etaSeconds = serializers.FloatField(allow_null=True, help_text="Null while it is not known.")
    finishedAt = serializers.DateTimeField(allow_null=True, help_text="Null until all is settled.")


@extend_schema_view(
    list=extend_schema(operation_id="receipts_list", summary="Receipts, newest first", tags=[TAG]),
    create=extend_schema(operation_id="receipts_create", summary="Add a receipt with its items", tags=[TAG]),
    retrieve=extend_schema(operation_id="receipts_read", summary="One receipt", tags=[TAG]),
    update=extend_schema(operation_id="receipts_update", summary="Write a receipt anew", tags=[TAG]),
    partial_update=extend_schema(operation_id="receipts_change", summary="Change parts of a receipt", tags=[TAG]),
    destroy=extend_schema(operation_id="receipts_delete", summary="Delete a receipt and its items", tags=[TAG]),
)
class Receipts(ContentViewSet):
    """Saving comes back at once; two vectors a receipt and one an item follow."""

    queryset = (
        Receipt.objects.defer("merchant_embedding", "text_embedding")
        .select_related("uploaded_by")
        .prefetch_related(Prefetch("items", ReceiptItem.objects.defer("embedding")))
    )
    serializer_class = ReceiptSerializer
    lookup_value_converter = "int"

    def attach(self, page: Any) -> None:
        super().attach(page)
        attach_statuses([item for receipt in page for item in receipt.items.all()])

    def perform_create(self, serializer: Any) -> None:
        serializer.save(uploaded_by=self.request.user)

    @extend_schema(
        operation_id="receipts_upload",
        summary="Upload many receipts at once",
        description=(
            f"Up to {MAX_RECEIPTS:,} receipts, as a JSON list or a file. Each is validated by itself: those that are "
            "valid are stored together, as one batch; the others are named in `rejected`. A CSV file has one line an "
            "item, and the columns receipt, merchant, purchased_on, currency, total, text, description, quantity and "
            "price; the lines of one receipt have the same number in the column receipt."
        ),
        tags=[TAG],
        request={"application/json": ReceiptSerializer(many=True), "multipart/form-data": ReceiptFileSerializer},
        responses={202: enveloped(ReceiptUploadSerializer), **INVALID, **REFUSED, **TOO_LARGE},
        examples=[
            OpenApiExample(
                "Upload",
                request_only=True,
                media_type="application/json",
                value=[
                    {
                        "merchant": "Corner Bakery",
                        "purchased_on": "2026-03-14",
                        "total": "5.50",
                        "text": "Corner Bakery\n2 x Butter croissant 1.80\n1 x Pretzel with salt 1.90",
                        "items": [
                            {"description": "Butter croissant", "quantity": 2, "price": "1.80"},
                            {"description": "Pretzel with salt", "price": "1.90"},
                        ],
                    }
                ],
            )
        ],
    )
    @action(detail=False, methods=["post"], parser_classes=[JSONParser, MultiPartParser])
    def upload(self, request: Request) -> Response:
        upload = create_receipts(_receipts_of(request), request.user)
        if upload.batch is None:
            raise ValidationError(f"Nothing was stored. {_quoted(upload.rejected)}")
        return Response(self._answer(upload), 202)

    @extend_schema(
        operation_id="receipts_batch",
        summary="How far an upload is",
        tags=[TAG],
        responses={200: enveloped(ReceiptBatchSerializer), **REFUSED, **MISSING},
    )
    @action(detail=False, url_path="batches/<int:batch_id>")
    def batch(self, request: Request, batch_id: int) -> Response:
        batch = EmbeddingBatch.objects.filter(pk=batch_id, parameters__kind=KIND).first()
        if batch is None:
            raise NotFound(f"There is no upload {batch_id}.")
        return Response(_progress_of(batch))

    def _answer(self, upload: Upload) -> dict[str, Any]:
        where = reverse("api-receipt-batch", args=[upload.batch.pk])
        return {
            "batchId": upload.batch.pk,
            "created": upload.created,
            "rejected": [asdict(each) for each in upload.rejected],
            "progress": self.request.build_absolute_uri(where),
        }


def _receipts_of(request: Request) -> list[Any]:
    """The receipts of the body or of the file, not yet validated."""
    if request.content_type.startswith("multipart/"):
        return _read_file(request)
    if not isinstance(request.data, list) or not request.data:
        raise ValidationError("Send a list of receipts, [{…}, {…}], or a file of them as `file`.")
    try:
        check_count(request.data)
    except Unreadable as exc:
        raise ValidationError(str(exc)) from exc
    return request.data


def _read_file(request: Request) -> list[Any]:
    form = ReceiptFileSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    try:
        return read_receipts(form.validated_data["file"].name, form.validated_data["file"].read())
    except Unreadable as exc:
        raise ValidationError({"file": str(exc)}) from exc


def _quoted(rejected: list[Rejected]) -> str:
    """The first problems in words."""
    found = [f"Receipt {each.position}, {problem}" for each in rejected for problem in each.problems]
    more = [f"And {len(found) - QUOTED:,} more."] if len(found) > QUOTED else []
    return " ".join([*found[:QUOTED], *more])


def _progress_of(batch: EmbeddingBatch) -> dict[str, Any]:
    progress = stats.batch_progress([batch.pk])[batch.pk]
    return {
        "id": batch.pk,
        "name": batch.name,
        "total": progress.total,
        "pending": progress.open,
        "done": progress.done,
        "failed": progress.failed,
        "cancelled": progress.cancelled,
        "share": progress.share,
        "etaSeconds": progress.eta_seconds,
        "finishedAt": progress.finished_at,
    }
