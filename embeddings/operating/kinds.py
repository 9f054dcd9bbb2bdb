"""What one page of each kind of operation does. A new kind is a class with two methods, and an entry in KINDS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.db.models import QuerySet

from embeddings import bulk, jobs, ledger, registry, requeue, writer
from embeddings.models import EmbeddingOperation, EmbeddingTask
from embeddings.operating import rows, tasks
from embeddings.registry import Derived
from embeddings.requeue import Condition
from embeddings.task_filter import TaskFilter, eligible

Tasks = QuerySet[EmbeddingTask]


@dataclass(frozen=True, slots=True)
class Step:
    """What a page came to: rows read, tasks changed, and from where to go on."""

    rows: int
    changed: int
    cursor: dict[str, Any]
    is_last: bool = False
    # Nothing can be done just now: try again a little later.
    is_blocked: bool = False


class Kind(Protocol):
    """A kind of operation."""

    def total(self, operation: EmbeddingOperation, using: str) -> int:
        """About how many rows it will read; quick at any size."""

    def step(self, operation: EmbeddingOperation, size: int, using: str) -> Step:
        """Work the next page, of about `size` rows, in the caller's transaction, without waiting for anybody's lock."""


class _OfRows:
    """Opens tasks of a model's rows."""

    # Whether vectors are made anew from unchanged text.
    is_overwritten = False

    def total(self, operation: EmbeddingOperation, using: str) -> int:
        return rows.estimate(registry.get(operation.target)[0], using)

    def step(self, operation: EmbeddingOperation, size: int, using: str) -> Step:
        targets = registry.get(operation.target)  # of one model
        page = rows.next_page(
            targets[0], operation.cursor, lambda keys: self._choose(operation, targets, keys, using), size, using
        )
        priority = operation.parameters.get("priority")
        requests = [
            bulk.request_of(target, object_id, using, priority=priority)
            for target, object_ids in page.chosen.items()
            for object_id in object_ids
        ]
        ids = ledger.request(requests, batch_id=operation.batch_id, is_overwritten=self.is_overwritten, using=using)
        jobs.schedule(ids, using=using)
        return Step(page.rows, len(ids), page.cursor, page.is_last, page.is_blocked)

    def _choose(
        self, operation: EmbeddingOperation, targets: Sequence[Derived], keys: Sequence[str], using: str
    ) -> dict[Derived, list[str]]:
        raise NotImplementedError


class Regenerate(_OfRows):
    """All rows."""

    is_overwritten = True

    def _choose(
        self, operation: EmbeddingOperation, targets: Sequence[Derived], keys: Sequence[str], using: str
    ) -> dict[Derived, list[str]]:
        return {target: list(keys) for target in targets}


class Requeue(_OfRows):
    """The rows in one of the conditions."""

    def _choose(
        self, operation: EmbeddingOperation, targets: Sequence[Derived], keys: Sequence[str], using: str
    ) -> dict[Derived, list[str]]:
        conditions = {Condition(name) for name in operation.parameters["conditions"]}
        return {
            target: [
                found.object_id
                for found in requeue.judge(target, writer.load(target, keys, using), using)
                if found.condition in conditions
            ]
            for target in targets
        }


class _OfTasks:
    """Changes the tasks that match a filter: those that there were when the operation began, each once."""

    def total(self, operation: EmbeddingOperation, using: str) -> int:
        return tasks.count(*self._chosen(operation))

    def step(self, operation: EmbeddingOperation, size: int, using: str) -> Step:
        page = tasks.next_page(*self._chosen(operation), operation.cursor, size)
        chosen = EmbeddingTask.objects.using(using).filter(pk__in=page.ids)
        changed = self._change(chosen, using) if page.ids else 0
        return Step(page.rows, changed, page.cursor, page.is_last, page.is_blocked)

    def _chosen(self, operation: EmbeddingOperation) -> tuple[Tasks, Sequence[str]]:
        wanted = TaskFilter.from_json(operation.parameters["filter"])
        chosen, statuses = eligible(operation.kind, wanted)
        return chosen.filter(pk__lte=operation.parameters["max_id"]), statuses

    def _change(self, chosen: Tasks, using: str) -> int:
        raise NotImplementedError


class Retry(_OfTasks):
    """They are due now, with all attempts ahead of them."""

    def _change(self, chosen: Tasks, using: str) -> int:
        changed = ledger.retry(chosen, using=using)
        if changed:
            jobs.poke_on_commit(using=using)
        return changed


class Cancel(_OfTasks):
    """They are not worked on; those that failed are not tried again, where the filter asks for them."""

    def _change(self, chosen: Tasks, using: str) -> int:
        return ledger.cancel(chosen, using=using) + ledger.give_up(chosen, using=using)


class Clear(_OfTasks):
    """They are deleted from the ledger."""

    def _change(self, chosen: Tasks, using: str) -> int:
        return ledger.clear(chosen, using=using)


KINDS: dict[str, Kind] = {
    EmbeddingOperation.Kind.REGENERATE: Regenerate(),
    EmbeddingOperation.Kind.REQUEUE: Requeue(),
    EmbeddingOperation.Kind.RETRY: Retry(),
    EmbeddingOperation.Kind.CANCEL: Cancel(),
    EmbeddingOperation.Kind.CLEAR: Clear(),
}
