"""How far the vectors of an object are, as its task says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Model
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from embeddings import registry, stats
from embeddings.models import Status


def attach_statuses(objects: Sequence[Model]) -> None:
    """Give each object `embedding_statuses`, {field: status}, with one query a field for all of them together."""
    if not objects:
        return
    fields = [target.field for target in registry.targets_for(type(objects[0]))]
    found = {field: stats.states_for(objects, field=field) for field in fields}
    for each in objects:
        each.embedding_statuses = {field: found[field].get(str(each.pk)) for field in fields}


@extend_schema_field(serializers.ChoiceField(choices=Status.choices, allow_null=True))
class StatusField(serializers.Field):
    """The state of the task of one embedded field; None where there is none, as while embedding is switched off."""

    def __init__(self, field: str = "embedding", **kwargs: Any) -> None:
        self.embedded_field = field
        super().__init__(**{"read_only": True, "source": "*", "help_text": "How far its vector is.", **kwargs})

    def to_representation(self, value: Any) -> str | None:
        if not hasattr(value, "embedding_statuses"):
            attach_statuses([value])
        return value.embedding_statuses[self.embedded_field]
