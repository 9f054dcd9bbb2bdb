"""System 004's pages: receipts are uploaded here, many at once, and watched until all have their vectors."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from embeddings import stats
from embeddings.models import EmbeddingBatch
from project.content.catalogue import COLLECTIONS
from project.content.forms import UploadForm
from project.content.models import Receipt
from project.content.receipt_files import Unreadable, read_receipts
from project.content.states import states_of
from project.content.uploads import KIND, create_receipts
from project.content.views.access import check, needs, object_or_404
from project.content.views.rendering import detail as details
from project.content.views.rendering import live, page
from project.content.visibility import may

# The latest receipts and uploads that are listed.
RECENT = 20
RECENT_UPLOADS = 5


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("view", Receipt)
def index(request: HttpRequest) -> HttpResponse:
    """The latest receipts and uploads, and a form for one more file. htmx gets what became of the file alone."""
    context: dict[str, Any] = {"form": UploadForm() if may(request.user, "add", Receipt) else None}
    if request.method == "POST":
        check(request, "add", Receipt)
        context |= _uploaded(request)
    context["receipts"] = COLLECTIONS["receipts"].visible(request.user).order_by("-pk")[:RECENT]
    context["uploads"] = _uploads()[:RECENT_UPLOADS]
    if request.htmx:
        return render(request, "partials/upload_answer.html", {**live(), **context, "is_partial": True})
    return page(request, "receipts.html", context)


@require_safe
@never_cache
@vary_on_headers("HX-Request")
@needs("view", Receipt)
def upload(request: HttpRequest, pk: int) -> HttpResponse:
    """How far the vectors of an upload are; only that for htmx, until it is finished."""
    context = _watched(get_object_or_404(_uploads(), pk=pk))
    if request.htmx:
        return render(request, "partials/batch.html", context)
    return page(request, "receipt_upload.html", context)


@require_safe
@never_cache
@needs("view", Receipt)
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One receipt with its items, their states, and those near it in meaning."""
    receipt = object_or_404(COLLECTIONS["receipts"], pk, request)
    items = list(receipt.items.defer("embedding", "words"))
    states = states_of(items)
    lines = [(item, states.get(item.pk)) for item in items]
    return page(request, "receipt.html", {**details(receipt), "lines": lines})


def _uploaded(request: HttpRequest) -> dict[str, Any]:
    """What became of the file: an error at the field, or the upload and the receipts that were refused."""
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return {"form": form}
    file = form.cleaned_data["file"]
    try:
        made = create_receipts(read_receipts(file.name, file.read()), request.user, name=f"Upload of {file.name}"[:200])
    except Unreadable as exc:
        form.add_error("file", str(exc))
        return {"form": form}
    return {"form": UploadForm(), "made": made, **(_watched(made.batch) if made.batch else {})}


def _uploads() -> QuerySet[EmbeddingBatch]:
    return EmbeddingBatch.objects.filter(parameters__kind=KIND).order_by("-pk")


def _watched(batch: EmbeddingBatch) -> dict[str, Any]:
    progress = stats.batch_progress([batch.pk])[batch.pk]
    return {"batch": batch, "progress_of_batch": progress, "left": _left(progress.eta_seconds)}


def _left(seconds: float | None) -> str:
    """ "about 40 s left"; "" if nobody knows."""
    if seconds is None:
        return ""
    return f"about {max(1, round(seconds))} s left" if seconds < 90 else f"about {round(seconds / 60)} min left"
