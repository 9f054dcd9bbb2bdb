"""Which tasks an operator means: what the task list's filters say, kept with an operation and put into words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet
from django.http import QueryDict

from embeddings import conf
from embeddings.exceptions import FilterError
from embeddings.models import CANCELLABLE, CLEARABLE, RETRYABLE, EmbeddingOperation, EmbeddingTask, Status

NUMBER = re.compile("[0-9]{1,18}")

# Parameters of the list that say nothing about which tasks are meant: its page and its order.
_OF_THE_PAGE = frozenset({"p", "o", "all", "e", "_changelist_filters"})
_MOST_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Tasks that fit all of this; what is left out does not matter. Raises FilterError if it makes no sense."""

    # One of these.
    statuses: tuple[str, ...] = ()
    content_type_id: int | None = None
    field: str = ""
    # None is any; "" is the lane of the texts that are to be split.
    provider: str | None = None
    error_kind: str = ""
    error_signature: str = ""
    batch_id: int | None = None
    worker: str = ""
    using: str = DEFAULT_DB_ALIAS

    def __post_init__(self) -> None:
        if unknown := [status for status in self.statuses if status not in Status.values]:
            raise FilterError(f"No task has the status {unknown[0]!r}; choose one of {', '.join(Status.values)}.")
        if self.using not in (databases := conf.current().databases):
            raise FilterError(f"EMBEDDINGS['DATABASES'] has no {self.using!r}; it has {', '.join(databases)}.")

    @classmethod
    def from_query(cls, query: QueryDict) -> TaskFilter:
        """What the address of the task list asks for; `database` may name another than the default."""
        known = {*_READERS, *_OF_THE_PAGE}
        if unknown := [name for name in query if name not in known]:
            raise FilterError(
                f"The filter {unknown[0]!r} is not known here, so nothing can be done to what it finds. "
                "Take it out of the address, or choose from the filters beside the list."
            )
        values: dict[str, Any] = {}
        for name in query:
            if reader := _READERS.get(name):
                values |= reader(name, [str(value) for value in query.getlist(name)])
        return cls.narrowed(values)

    @classmethod
    def narrowed(cls, values: dict[str, Any]) -> TaskFilter:
        """Of these fields; what only tasks of one status have finds only these, as in the list."""
        if values.get("error_signature"):
            values = values | _only(Status.FAILED, values)
        if values.get("worker"):
            values = values | _only(Status.PROCESSING, values)
        return cls(**values)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TaskFilter:
        return cls(**{**values, "statuses": tuple(values.get("statuses", ()))})

    def as_json(self) -> dict[str, Any]:
        """What differs from a filter that all tasks of the default database fit."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        values = {name: getattr(self, name) for name in defaults}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value != defaults[name]
        }

    def queryset(self) -> QuerySet[EmbeddingTask]:
        tasks = EmbeddingTask.objects.using(self.using)
        return tasks.filter(**self.conditions())

    @property
    def is_indexed(self) -> bool:
        """Whether an index leads to what it asks for, however rare that is. There is none of models, fields and
        providers: there, look at no more than so many tasks of a status."""
        return bool(self.batch_id is not None or self.error_kind or self.error_signature or self.worker)

    def conditions(self) -> dict[str, Any]:
        """As lookups."""
        return dict(self._conditions())

    def _conditions(self) -> Iterator[tuple[str, Any]]:
        if self.statuses:
            yield "status__in", self.statuses
        for column in ("content_type_id", "provider", "batch_id"):
            if getattr(self, column) is not None:
                yield column, getattr(self, column)
        for column in ("field", "error_kind", "error_signature", "worker"):
            if getattr(self, column):
                yield column, getattr(self, column)

    def describe(self) -> str:
        """In words: 'failed tasks of Article, field "embedding", of batch #3'."""
        labels = [str(Status(status).label) for status in self.statuses]
        return " ".join([*([" or ".join(labels)] if labels else ["all"]), "tasks" + "".join(self._words())])

    def _words(self) -> Iterator[str]:
        if self.content_type_id is not None:
            yield f" of {self._model_name()}"
        if self.field:
            yield f', field "{self.field}"'
        if self.provider is not None:
            yield f', provider "{self.provider}"' if self.provider else ", that split texts"
        if self.error_kind:
            yield f", with an error of the kind {self.error_kind.replace('_', ' ')}"
        if self.error_signature:
            yield f', with the error "{self.error_signature}"'
        if self.batch_id is not None:
            yield f", of batch #{self.batch_id}"
        if self.worker:
            yield f', in hand of the worker "{self.worker}"'
        if self.using != DEFAULT_DB_ALIAS:
            yield f', in the database "{self.using}"'

    def _model_name(self) -> str:
        try:
            content_type = ContentType.objects.db_manager(self.using).get_for_id(self.content_type_id or 0)
        except ContentType.DoesNotExist:
            return "a model that is gone"
        return content_type.name.capitalize()


# What an operation of each kind changes.
STATUSES: dict[str, tuple[Status, ...]] = {
    EmbeddingOperation.Kind.RETRY: RETRYABLE,
    EmbeddingOperation.Kind.CANCEL: (*CANCELLABLE, Status.FAILED),
    EmbeddingOperation.Kind.CLEAR: CLEARABLE,
}
# … unless the filter asks for them: whoever empties the queue wants to keep the list of what went wrong.
_ONLY_IF_ASKED = {(EmbeddingOperation.Kind.CANCEL, Status.FAILED)}


def eligible(kind: str, wanted: TaskFilter) -> tuple[QuerySet[EmbeddingTask], Sequence[str]]:
    """What an operation of this kind changes of the tasks that are wanted: those of the queryset in these statuses.

    Ask for each status by itself: each has an index.
    """
    tasks = dataclasses.replace(wanted, statuses=()).queryset()
    if kind == EmbeddingOperation.Kind.CLEAR:
        tasks = tasks.filter(payload__isnull=True)
    asked = wanted.statuses or [one for one in STATUSES[kind] if (kind, one) not in _ONLY_IF_ASKED]
    return tasks, [status for status in STATUSES[kind] if status in asked]


def subject(operation: EmbeddingOperation) -> str:
    """What an operation is about, in words: its target, or its filter."""
    if operation.target:
        return operation.target
    return TaskFilter.from_json(operation.parameters["filter"]).describe()


def _text(column: str) -> Any:
    def read(name: str, values: list[str]) -> dict[str, Any]:
        value = values[-1]
        if not value or len(value) > _MOST_CHARACTERS or "\0" in value:
            raise FilterError(f"The filter {name!r} needs a value of at most {_MOST_CHARACTERS} characters.")
        return {column: value}

    return read


def _number(column: str) -> Any:
    def read(name: str, values: list[str]) -> dict[str, Any]:
        if not NUMBER.fullmatch(values[-1]):
            raise FilterError(f"The filter {name!r} needs a number, not {values[-1][:50]!r}.")
        return {column: int(values[-1])}

    return read


def _provider(name: str, values: list[str]) -> dict[str, Any]:
    return {"provider": values[-1]} if not values[-1] else _text("provider")(name, values)


def _search(name: str, values: list[str]) -> dict[str, Any]:
    if values[-1].strip():
        raise FilterError("A search finds single tasks: tick those that you mean, and choose an action above the list.")
    return {}


def _only(status: Status, values: dict[str, Any]) -> dict[str, Any]:
    """The list shows tasks of one status only by this filter."""
    if values.get("statuses") not in {None, (), (status.value,)}:
        raise FilterError(f"No task matches: this filter is for tasks that are {status.label}. Take the other away.")
    return {"statuses": (status.value,)}


# How each parameter of the list is read.
_READERS: dict[str, Any] = {
    "status__exact": lambda name, values: {"statuses": tuple(dict.fromkeys(values))},
    "model": _number("content_type_id"),
    "field": _text("field"),
    "provider": _provider,
    "error": _text("error_kind"),
    "signature": _text("error_signature"),
    "batch": _number("batch_id"),
    "worker": _text("worker"),
    "q": _search,
    "database": _text("using"),
}
