"""The ids of objects' tasks, for who wants to ask /api/embeddings/tasks/<id>/ about one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model
from rest_framework import serializers

from embeddings import registry
from embeddings.models import EmbeddingTask


def attach_task_ids(objects: Sequence[Model]) -> None:
    """Give each object of a model with one embedded field `task_id`, None without a task; one query for all."""
    if not objects:
        return
    (target,) = registry.targets_for(type(objects[0]))
    tasks = EmbeddingTask.objects.filter(
        content_type_id=target.content_type_id(DEFAULT_DB_ALIAS),
        field=target.field,
        object_id__in=[target.object_id(each) for each in objects],
    )
    found = dict(tasks.values_list("object_id", "pk"))
    for each in objects:
        each.task_id = found.get(target.object_id(each))


class TaskIdField(serializers.IntegerField):
    """The id of an object's task; None where there is none, as while embedding is switched off."""

    def __init__(self, **kwargs: Any) -> None:
        defaults = {"read_only": True, "source": "*", "allow_null": True, "help_text": "The task of its embedding."}
        super().__init__(**{**defaults, **kwargs})

    def to_representation(self, value: Any) -> int | None:
        if not hasattr(value, "task_id"):
            attach_task_ids([value])
        return value.task_id
