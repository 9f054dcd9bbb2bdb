"""Pages of tasks, each in an order that an index has."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db.models import BooleanField, CharField, Expression, F, Func, IntegerField, QuerySet, Value
from django.db.models.lookups import GreaterThan, LessThan
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from embeddings import timeouts
from embeddings.api.filters import LARGEST_ID
from embeddings.api.pagination import Newest
from embeddings.api.problems import TooSlow
from embeddings.models import EmbeddingTask, Status
from embeddings.task_filter import TaskFilter

# For the one statement of a page. Those that have an index take some milliseconds.
SECONDS = 2.0
TOO_MANY = "Too many tasks to look through for these: add a status, a batch, an error or an object_id."
_ENDED = {Status.FAILED, Status.CANCELLED, Status.EMPTY}


@dataclass(frozen=True, slots=True)
class Order:
    """Columns of an index, and of which type they are."""

    columns: dict[str, type]
    is_descending: bool

    def by(self, *, is_back: bool) -> list[str]:
        sign = "-" if self.is_descending != is_back else ""
        return [f"{sign}{column}" for column in self.columns]

    def beyond(self, position: Sequence[Any], *, is_back: bool) -> Expression:
        """The condition for what comes after, or before, a position, as the index reads it: rows compared as wholes."""
        compared = LessThan if self.is_descending != is_back else GreaterThan
        places = [Value(part, CharField() if isinstance(part, str) else IntegerField()) for part in position]
        return compared(_row(*map(F, self.columns)), _row(*places))

    def is_position(self, position: Any) -> bool:
        return isinstance(position, list) and [type(part) for part in position] == [*self.columns.values()]


NEWEST = Order({"id": int}, is_descending=True)
# The unique index, which has the tasks of a model together, wherever they lie in the table.
BY_KEY = Order({"content_type_id": int, "object_id": str, "field": str}, is_descending=False)


def order_of(wanted: TaskFilter, *, is_of_object: bool) -> Order:
    """By key, if the tasks are those of whole models, which may all be at the old end of the table."""
    is_of_many = wanted.content_type_id is not None or wanted.field or wanted.provider is not None
    is_of_few = is_of_object or wanted.error_kind or wanted.error_signature or wanted.worker
    is_ended = wanted.statuses and {*wanted.statuses} <= _ENDED
    return BY_KEY if is_of_many and not is_of_few and not is_ended else NEWEST


class TaskPages(Newest):
    """A page is read by one statement, which looks for each status by itself: each has an index."""

    order = NEWEST

    def read(self, tasks: QuerySet[EmbeddingTask], statuses: Sequence[str], request: Request) -> list[EmbeddingTask]:
        """The tasks of the page that the request is for; raises TooSlow."""
        self.request, self.size = request, self.get_page_size(request) or self.page_size
        self.is_back, self.position = self._cursor(request.query_params.get(self.cursor_query_param))
        try:
            with timeouts.reading(SECONDS, tasks.db):
                found = list(self._rows([tasks.filter(status=each) for each in statuses] or [tasks]))
        except AnyDatabaseError as exc:
            if not timeouts.is_timeout(exc):
                raise
            raise TooSlow(TOO_MANY) from exc
        self.has_more = len(found) > self.size
        self.tasks = found[: self.size]
        if self.is_back:
            self.tasks.reverse()
        return self.tasks

    def get_next_link(self) -> str | None:
        return self._link(self.tasks[-1:], is_back=False) if self.is_back or self.has_more else None

    def get_previous_link(self) -> str | None:
        is_after_some = self.has_more if self.is_back else self.position is not None
        return self._link(self.tasks[:1], is_back=True) if is_after_some else None

    def _rows(self, parts: list[QuerySet[EmbeddingTask]]) -> QuerySet[EmbeddingTask]:
        by, most = self.order.by(is_back=self.is_back), self.size + 1
        if self.position is not None:
            condition = self.order.beyond(self.position, is_back=self.is_back)
            parts = [part.filter(condition) for part in parts]
        first, *rest = (part.order_by(*by)[:most] for part in parts)
        return first.union(*rest, all=True).order_by(*by)[:most] if rest else first

    def _link(self, beside: list[EmbeddingTask], *, is_back: bool) -> str | None:
        if not beside:
            return None
        position = [getattr(beside[0], column) for column in self.order.columns]
        cursor = base64.urlsafe_b64encode(json.dumps([is_back, position]).encode()).decode()
        address = self.request.build_absolute_uri()
        return str(replace_query_param(address, self.cursor_query_param, cursor))

    def _cursor(self, text: str | None) -> tuple[bool, list[Any] | None]:
        """(whether it leads back, the position to go on from)."""
        if text is None:
            return False, None
        try:
            is_back, position = json.loads(base64.urlsafe_b64decode(text))
        except (ValueError, TypeError, RecursionError) as exc:
            raise NotFound(self.invalid_cursor_message) from exc
        if not self.order.is_position(position) or not all(map(_is_storable, position)):
            raise NotFound(self.invalid_cursor_message)
        return bool(is_back), position


def _row(*parts: Expression | F) -> Func:
    return Func(*parts, function="ROW", output_field=BooleanField())


def _is_storable(part: int | str) -> bool:
    """Whether PostgreSQL takes it."""
    if isinstance(part, int):
        return 0 <= part <= LARGEST_ID
    return "\0" not in part and part == part.encode(errors="ignore").decode()
