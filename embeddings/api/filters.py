"""The parameters of the list of tasks."""

from __future__ import annotations

from django import forms
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from embeddings import registry
from embeddings.models import EmbeddingTask, Status

ERROR_KINDS = ("rate_limit", "transient", "input", "configuration", "crash")


def embedded_models(label: str = "") -> set[type[models.Model]]:
    """The embedded models: the one called "app.model", or all."""
    known = {target.model for target in registry.all_derived()}
    return {model for model in known if label.lower() in {"", model._meta.label_lower}}


def validate_model(label: str) -> None:
    if not embedded_models(label):
        raise ValidationError(f"No embedded model is called {label!r}; write app.model.")


def _content_type_ids(label: str = "") -> list[int]:
    """Content types are cached, so this is usually no query."""
    return [one.pk for one in ContentType.objects.get_for_models(*embedded_models(label)).values()]


@extend_schema_field(OpenApiTypes.INT64)
class WholeNumberFilter(filters.NumberFilter):  # type: ignore[misc]
    field_class = forms.IntegerField


class TaskFilter(filters.FilterSet):  # type: ignore[misc]
    """Several statuses are joined by "or", different parameters by "and"."""

    status = filters.MultipleChoiceFilter(
        choices=Status.choices, distinct=False, help_text="May be given several times."
    )
    model = filters.CharFilter(
        method="of_model", validators=[validate_model], help_text="An embedded model, as `app.model`."
    )
    object_id = filters.CharFilter(method="of_object", help_text="The object's primary key.")
    field = filters.CharFilter(help_text="The embedded field.")
    batch = WholeNumberFilter(field_name="batch_id", help_text="The id of a batch.")
    error_kind = filters.ChoiceFilter(choices=[(kind, kind) for kind in ERROR_KINDS], help_text="What went wrong last.")

    class Meta:
        model = EmbeddingTask
        fields = ()

    def of_model(self, tasks: QuerySet[EmbeddingTask], name: str, value: str) -> QuerySet[EmbeddingTask]:
        return tasks.filter(content_type_id__in=_content_type_ids(value))

    def of_object(self, tasks: QuerySet[EmbeddingTask], name: str, value: str) -> QuerySet[EmbeddingTask]:
        """Naming the models lets the unique index find the object."""
        return tasks.filter(content_type_id__in=_content_type_ids(), object_id=value)
