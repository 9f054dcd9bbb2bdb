"""Which tasks somebody means: the parameters of the list, and the body of what is done to many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import QuerySet
from rest_framework import serializers

from embeddings import registry
from embeddings.api.choices import none_of
from embeddings.exceptions import FilterError
from embeddings.models import CensusCount, EmbeddingTask, Status
from embeddings.task_filter import TaskFilter

ERROR_KINDS = ("rate_limit", "transient", "input", "configuration", "crash")
LARGEST_ID = 2**63 - 1


def embedded_models(label: str = "") -> set[type[models.Model]]:
    """The embedded models: the one called "app.model", or all."""
    known = {target.model for target in registry.all_derived()}
    return {model for model in known if label.lower() in {"", model._meta.label_lower}}


def validate_model(label: str) -> None:
    if not embedded_models(label):
        raise serializers.ValidationError(f"No embedded model is called {label!r}; write app.model.")


class EmbeddingTaskFilterSerializer(serializers.Serializer[Any]):
    """Tasks that fit all of this; what is left out does not matter."""

    status = serializers.MultipleChoiceField(
        choices=Status.choices,
        required=False,
        allow_empty=False,
        error_messages=none_of(Status.values),
        help_text="One of these.",
    )
    model = serializers.CharField(
        required=False, max_length=200, validators=[validate_model], help_text="An embedded model, as `app.model`."
    )
    field = serializers.CharField(required=False, max_length=100, help_text="The embedded field.")
    provider = serializers.CharField(
        required=False, max_length=64, allow_blank=True, help_text="Empty for the tasks that split texts."
    )
    batch = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_ID, help_text="The id of a batch.")
    error_kind = serializers.ChoiceField(
        choices=[(kind, kind) for kind in ERROR_KINDS],
        required=False,
        error_messages=none_of(ERROR_KINDS),
        help_text="What went wrong last.",
    )
    error_signature = serializers.CharField(
        required=False,
        max_length=255,
        trim_whitespace=False,
        help_text="What failed tasks have in common, as a task's `error.signature`; finds only failed ones.",
    )
    worker = serializers.CharField(
        required=False, max_length=255, help_text="The name of a worker; finds what it has in hand."
    )

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            self.refuse_unknown(data)
        return super().to_internal_value(data)

    def refuse_unknown(self, data: Iterable[str]) -> None:
        """What is misspelt would otherwise find all tasks."""
        if unknown := [name for name in data if name not in self.fields]:
            known = ", ".join(self.fields)
            raise serializers.ValidationError(f"There is no filter {unknown[0]!r}; there are {known}.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            return {**attrs, "wanted": _wanted(attrs)}
        except FilterError as exc:
            raise serializers.ValidationError(str(exc)) from exc


class EmbeddingTaskQuerySerializer(EmbeddingTaskFilterSerializer):
    """The parameters of the list of tasks."""

    status = serializers.MultipleChoiceField(
        choices=Status.choices,
        required=False,
        error_messages=none_of(Status.values),
        help_text="May be given several times: one of these.",
    )
    object_id = serializers.CharField(
        required=False, max_length=255, trim_whitespace=False, help_text="The object's primary key."
    )

    def refuse_unknown(self, data: Iterable[str]) -> None:
        """An address says other things too: of which page, in which format."""


def _wanted(attrs: dict[str, Any]) -> TaskFilter:
    same = ("field", "provider", "error_kind", "error_signature", "worker")
    values: dict[str, Any] = {name: attrs[name] for name in same if name in attrs}
    values["statuses"] = tuple(status for status in Status.values if status in attrs.get("status", ()))
    values["batch_id"] = attrs.get("batch")
    for model in embedded_models(attrs["model"]) if "model" in attrs else ():
        values["content_type_id"] = ContentType.objects.get_for_model(model).pk
    return TaskFilter.narrowed(values)


def tasks_of(attrs: dict[str, Any]) -> QuerySet[EmbeddingTask]:
    """The tasks that validated parameters ask for, in whatever state.

    Naming the models lets the unique index find an object, and go through the tasks of a field or provider alone.
    """
    wanted: TaskFilter = attrs["wanted"]
    tasks = replace(wanted, statuses=()).queryset()
    if "object_id" in attrs:
        tasks = tasks.filter(object_id=attrs["object_id"])
    is_narrow = "object_id" in attrs or wanted.field or wanted.provider is not None
    if is_narrow and (named := _content_type_ids(wanted)) is not None:
        tasks = tasks.filter(content_type_id__in=named)
    return tasks


def _content_type_ids(wanted: TaskFilter) -> list[int] | None:
    """Of the embedded models that can have such tasks; None if nobody knows. Content types are cached."""
    targets = [target for target in registry.all_derived() if wanted.field in {"", target.field}]
    types = {target: target.content_type_id(wanted.using) for target in targets}
    if wanted.provider is None:
        return sorted({*types.values()})
    # Targets may have had another provider before.
    counts = CensusCount.objects.using(wanted.using).values_list("provider", "content_type_id").distinct()
    if not (counted := set(counts)):
        return None
    now = {pk for target, pk in types.items() if target.provider == wanted.provider}
    return sorted(now | {pk for alias, pk in counted if alias == wanted.provider})
