"""What waits in a box, for who may view such objects."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth import get_permission_codename
from django.db import models
from django.http import HttpRequest
from django.utils.html import format_html

from embeddings.models import EmbeddingTask

HIDDEN = "Only users who may view such objects see the values."


def may_view(model: type[models.Model] | None, request: HttpRequest) -> bool:
    """Whether the user may view objects of the model, also where it has no admin page."""
    if model is None:
        return False
    return request.user.has_perm(f"{model._meta.app_label}.{get_permission_codename('view', model._meta)}")


def shown_values(task: EmbeddingTask, request: HttpRequest) -> str:
    """The values in a task's box, as JSON to read."""
    if not may_view(task.model_class, request):
        return HIDDEN
    payload: Any = task.payload
    values = json.dumps(payload["fields"], indent=2, ensure_ascii=False)
    return format_html('<pre class="embeddings-json">{}</pre>', values)
