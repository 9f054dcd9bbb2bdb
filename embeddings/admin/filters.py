"""List filters whose choices come from the code and the settings: none asks the table what is in it."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst

from embeddings import conf, registry
from embeddings.admin.explanations import ERROR_KIND
from embeddings.models import CensusCount, Status

Choices = list[tuple[str, str]]
NUMBER = re.compile("[0-9]{1,18}")


class ColumnFilter(admin.SimpleListFilter):
    """A filter by one column; shown when there is something to choose between."""

    # The lookup that the chosen value is for.
    column: str

    def choices_from_code(self) -> Choices:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        return self.choices_from_code()

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1 or self.value() is not None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        # A value that is none of the choices (an old bookmark) finds nothing.
        return queryset.filter(**{self.column: value}) if value in dict(self.lookup_choices) else queryset.none()


class ModelFilter(ColumnFilter):
    """By embedded model."""

    title = "model"
    parameter_name = "model"
    column = "content_type_id"

    def choices_from_code(self) -> Choices:
        models = {target.model for target in registry.all_derived()}
        types = ContentType.objects.get_for_models(*models)
        names = ((str(types[model].pk), str(capfirst(model._meta.verbose_name))) for model in models)
        return sorted(names, key=lambda choice: choice[1])

    def has_output(self) -> bool:
        return bool(self.lookup_choices)


class FieldFilter(ColumnFilter):
    """By embedded field."""

    title = "field"
    parameter_name = "field"
    column = "field"

    def choices_from_code(self) -> Choices:
        return [(name, name) for name in sorted({target.field for target in registry.all_derived()})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Naming the models that have the field lets an index find the tasks."""
        found = super().queryset(request, queryset)
        if self.value() is None:
            return found
        models = {target.model for target in registry.all_derived() if target.field == self.value()}
        types = ContentType.objects.get_for_models(*models).values()
        return found.filter(content_type_id__in=sorted(one.pk for one in types))


class ErrorKindFilter(ColumnFilter):
    """By what kind of thing went wrong last."""

    title = "error"
    parameter_name = "error"
    column = "error_kind"

    def choices_from_code(self) -> Choices:
        return [(kind, kind.replace("_", " ")) for kind in ERROR_KIND]


class ProviderFilter(ColumnFilter):
    """By provider."""

    title = "provider"
    parameter_name = "provider"
    column = "provider"

    def choices_from_code(self) -> Choices:
        splits = [(registry.NO_PROVIDER, "none: splits a text")] if any(registry.all_splittings()) else []
        return [(alias, alias) for alias in conf.provider_aliases()] + splits


class TaskProviderFilter(ProviderFilter):
    """The same for tasks, whose targets may have had another provider before."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Naming the models that have tasks of the provider lets an index find them, once there was a census."""
        found = super().queryset(request, queryset)
        alias = self.value()
        if alias is None:
            return found
        counted = set(CensusCount.objects.using(queryset.db).values_list("provider", "content_type_id").distinct())
        if not counted:
            return found
        targets = [target for target in registry.all_derived() if target.provider == alias]
        now = {target.content_type_id(queryset.db) for target in targets}
        return found.filter(content_type_id__in=sorted(now | {key for name, key in counted if name == alias}))


class OutcomeFilter(ColumnFilter):
    """By how a request to a provider ended."""

    title = "outcome"
    parameter_name = "outcome"
    column = "outcome"

    def choices_from_code(self) -> Choices:
        return [(outcome, outcome.replace("_", " ")) for outcome in ("ok", *ERROR_KIND) if outcome != "crash"]


class LinkedFilter(admin.SimpleListFilter):
    """A filter that is shown only where the address asks for it: other pages link here."""

    def named(self, value: str) -> str:
        """What the list calls the chosen value."""
        return value

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        value = self.value()
        return [] if value is None else [(value, self.named(value))]


class BatchFilter(LinkedFilter):
    """By batch: a batch's page links here with ?batch=ID."""

    title = "batch"
    parameter_name = "batch"

    def named(self, value: str) -> str:
        return f"Batch #{value}"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        return queryset.filter(batch_id=int(value)) if NUMBER.fullmatch(value) else queryset.none()


class SignatureFilter(LinkedFilter):
    """By what went wrong: the failures page links here. Only failed tasks are in its groups, and in their index."""

    title = "failure"
    parameter_name = "signature"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset if value is None else queryset.filter(status=Status.FAILED, error_signature=storable(value))


class WorkerFilter(LinkedFilter):
    """By the worker that has the tasks in hand: its page links here. What it has settled is in its own figures."""

    title = "worker"
    parameter_name = "worker"

    def named(self, value: str) -> str:
        return f"In hand of {value}"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset if value is None else queryset.filter(status=Status.PROCESSING, worker=storable(value))


def storable(text: str) -> str:
    """A text from an address as PostgreSQL takes it, which stores no NUL."""
    return text.replace("\0", "")
