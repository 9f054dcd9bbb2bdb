"""Addresses on an admin site: of objects from their tasks, and of our own pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.contrib.admin.utils import quote
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, models
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.text import Truncator, capfirst

from embeddings import registry
from embeddings.admin.boxes import may_view
from embeddings.models import EmbeddingTask

TITLE_CHARACTERS = 100


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


def attach_objects(tasks: Iterable[EmbeddingTask], request: HttpRequest) -> None:
    """Load the objects that the user may view at once: a query a model and database, without their vectors."""
    groups: dict[tuple[type[models.Model], str | None], list[EmbeddingTask]] = defaultdict(list)
    for task in tasks:
        if task.model_class is not None and may_view(task.model_class, request):
            groups[task.model_class, task._state.db].append(task)
    for (model, using), group in groups.items():
        keys = [key for key in (_key(model, task) for task in group) if key is not None]
        vectors = [target.field for target in registry.targets_for(model)]
        found = model._base_manager.using(using).filter(pk__in=keys).defer(*vectors)
        objects = {str(each.pk): each for each in found}
        for task in group:
            task.__dict__["target_object"] = objects.get(task.object_id)


def _key(model: type[models.Model], task: EmbeddingTask) -> Any:
    """The object's key; None if it is none that the model can have."""
    try:
        return model._meta.pk.to_python(task.object_id)
    except (ValueError, TypeError, ValidationError):
        return None


def object_title(task: EmbeddingTask, request: HttpRequest) -> str:
    """What the object calls itself, for who may view such objects; else ""."""
    found = loaded_object(task)
    if found is None:
        return ""
    return Truncator(str(found)).chars(TITLE_CHARACTERS) if may_view(type(found), request) else ""


def page_url(site: AdminSite, name: str, /, *args: Any, **query: Any) -> str:
    """One of our pages ("embeddingbatch_change") on a site; "" where the site has no such page."""
    try:
        url = reverse(f"admin:embeddings_{name}", args=[quote(arg) for arg in args], current_app=site.name)
    except NoReverseMatch:
        return ""
    return f"{url}?{urlencode(query)}" if query else url


def link(url: str, text: str) -> str:
    """`text`, as a link where there is a page to lead to."""
    return format_html('<a href="{}">{}</a>', url, text) if url else text


def task_url(task: EmbeddingTask, site: AdminSite) -> str:
    """The task's own page; "" of one that has none: in another database, or on a site without our pages."""
    return page_url(site, "embeddingtask_change", task.pk) if task._state.db == DEFAULT_DB_ALIAS else ""


def tasks_url(site: AdminSite, **query: str) -> str:
    """The list of tasks, filtered."""
    return page_url(site, "embeddingtask_changelist", **query)


def bulk_url(verb: str, site: AdminSite, **query: str) -> str:
    """The page that asks whether to "retry", "cancel" or "clear" all tasks of a list that is filtered like this."""
    return page_url(site, "embeddingtask_bulk", verb, **query)


def linked(task: EmbeddingTask, text: str) -> str:
    """`text`, as a link where attach_object_urls() has found one."""
    return link(getattr(task, "object_url", ""), text)


def _may_view(model: type[models.Model], request: HttpRequest, site: AdminSite) -> bool:
    return site.is_registered(model) and site.get_model_admin(model).has_view_or_change_permission(request)


def _change_url(task: EmbeddingTask, site: AdminSite) -> str:
    name = f"admin:{task.target_model_label.replace('.', '_')}_change"
    return reverse(name, args=[quote(task.object_id)], current_app=site.name)
