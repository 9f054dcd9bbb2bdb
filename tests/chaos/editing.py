"""People at work during the run: saves, bulk updates, deletes, new rows, transactions that are rolled back."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from django.contrib.contenttypes.models import ContentType
from django.db import Error as AnyDatabaseError
from django.db import connections, models, transaction

from embeddings.models import EmbeddingTask, Status
from tests.chaos.population import Population, is_planted, write
from tests.testapp.models import Memo, Post, Receipt, Word

# Takes a model, returns how many rows it has changed.
Edit = Callable[[type[models.Model]], int]

MODELS = (Post, Post, Post, Receipt, Memo, Word)


class Editing:
    """One edit a call, chosen by the seed. What the database refuses while it is away is not done, and counted."""

    def __init__(self, population: Population, chance: random.Random) -> None:
        self._population = population
        self._chance = chance
        self.done: Counter[str] = Counter()
        self.refused = 0
        # How long somebody waited for one at most, in a transaction or out of it.
        self.longest_seconds = 0.0

    def tick(self) -> None:
        edits: dict[Edit, int] = {
            self._save: 6,
            self._update: 2,
            self._there_and_back: 1,
            self._roll_back: 1,
            self._delete: 2,
            self._create: 3,
        }
        (edit,) = self._chance.choices(list(edits), list(edits.values()))
        self._do(edit, self._chance.choice(MODELS), name=edit.__name__.strip("_").replace("_", " "))

    def touch(self, rows: int) -> None:
        """Give so many posts a new text, to have something to do for the workers."""
        self._do(partial(self._update, rows=rows), Post, name="update")

    def _do(self, edit: Edit, model: type[models.Model], *, name: str) -> None:
        started_at = time.monotonic()
        try:
            changed = edit(model)
        except AnyDatabaseError:
            self.refused += 1
            connections.close_all()  # as a web server does after a request
        else:
            self.done[name] += changed
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - started_at)

    def _some(self, model: type[models.Model], count: int) -> list[models.Model]:
        """Random rows, none of them planted; every other time such as a worker has in hand just now."""
        rows = model._default_manager.order_by("?")
        if self._chance.random() < 0.5:
            content_type = ContentType.objects.get_for_model(model)
            in_hand = EmbeddingTask.objects.filter(content_type=content_type, status=Status.PROCESSING)
            rows = rows.filter(pk__in=list(in_hand.values_list("object_id", flat=True)))
        return [row for row in rows[:count] if not is_planted(row)]

    def _change(self, row: models.Model) -> None:
        phrase = self._population.phrase()
        if isinstance(row, Post):
            row.body = phrase
        elif isinstance(row, Word):
            row.meaning, row.is_public = phrase, self._chance.random() < 0.9
        elif isinstance(row, Receipt | Memo):
            row.text = phrase

    def _save(self, model: type[models.Model]) -> int:
        rows = self._some(model, self._chance.randint(1, 3))
        for row in rows:
            self._change(row)
            row.save()
        return len(rows)

    def _update(self, model: type[models.Model], rows: int = 20) -> int:
        model = Memo if model is Memo else Post  # the others have a manager that opens no tasks
        keys = [row.pk for row in self._some(model, rows)]
        name = "text" if model is Memo else "body"
        return model._default_manager.filter(pk__in=keys).update(**{name: self._population.phrase()})

    def _there_and_back(self, model: type[models.Model]) -> int:
        """A row is changed and changed back: what is in flight is right again."""
        for row in self._some(Post, 1):
            was = row.body
            self._change(row)
            row.save()
            row.body = was
            row.save()
        return 1

    def _roll_back(self, model: type[models.Model]) -> int:
        with transaction.atomic():
            self._save(model)
            transaction.set_rollback(True)
        return 1

    def _delete(self, model: type[models.Model]) -> int:
        rows = self._some(model, self._chance.randint(1, 2))
        if self._chance.random() < 0.5:
            return model._default_manager.filter(pk__in=[row.pk for row in rows]).delete()[0]
        return sum(row.delete()[0] for row in rows)

    def _create(self, model: type[models.Model]) -> int:
        rows = [self._population.new(model) for _ in range(self._chance.randint(1, 3))]
        if self._chance.random() < 0.5:
            write(rows)
        else:
            for row in rows:
                row.save()
        return len(rows)
