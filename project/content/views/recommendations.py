"""System 001's page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from project.content.catalogue import COLLECTIONS
from project.content.views.access import object_or_404
from project.content.views.rendering import detail, page


@require_safe
@never_cache
def recommendation(request: HttpRequest, pk: int) -> HttpResponse:
    """One recommendation, its state, and those near it in meaning."""
    return page(request, "recommendation.html", detail(object_or_404(COLLECTIONS["recommendations"], pk, request)))
