"""From a task to its object's own admin page."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.admin import AdminSite
from django.contrib.admin.utils import quote
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst

from embeddings.admin.boxes import may_view
from embeddings.models import EmbeddingTask


def object_name(task: EmbeddingTask) -> str:
    """ "Article 123": the model and the key, without loading the object."""
    model = task.model_class
    name = task.target_model_label if model is None else str(capfirst(model._meta.verbose_name))
    return f"{name} {task.object_id}"


def attach_object_urls(tasks: Iterable[EmbeddingTask], request: HttpRequest, site: AdminSite) -> None:
    """Give each task `object_url`: its object's change page if there is one and this user may see it, else "".

    An object in a box has none yet.
    """
    visible: dict[type[models.Model] | None, bool] = {}
    for task in tasks:
        model = task.model_class
        if model not in visible:
            visible[model] = model is not None and _may_view(model, request, site)
        has_page = visible[model] and not getattr(task, "is_boxed", False)
        task.object_url = _change_url(task, site) if has_page else ""  # type: ignore[attr-defined]


def loaded_object(task: EmbeddingTask) -> models.Model | None:
    """The object; None when it is gone, or its key is none that its model can have (the model has changed since)."""
    try:
        found: models.Model | None = task.target_object
    except (ValueError, ValidationError):
        return None
    return found


def object_title(task: EmbeddingTask, request: HttpRequest) -> str:
    """What the object calls itself, for who may view such objects; else ""."""
    found = loaded_object(task)
    if found is None:
        return ""
    return str(found) if may_view(type(found), request) else ""


def linked(task: EmbeddingTask, text: str) -> str:
    """`text`, as a link where attach_object_urls() has found one."""
    url = getattr(task, "object_url", "")
    return format_html('<a href="{}">{}</a>', url, text) if url else text


def _may_view(model: type[models.Model], request: HttpRequest, site: AdminSite) -> bool:
    return site.is_registered(model) and site.get_model_admin(model).has_view_or_change_permission(request)


def _change_url(task: EmbeddingTask, site: AdminSite) -> str:
    name = f"admin:{task.target_model_label.replace('.', '_')}_change"
    return reverse(name, args=[quote(task.object_id)], current_app=site.name)
