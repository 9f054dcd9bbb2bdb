"""The rows of the run: how they are made, and what each one's text is now, said without the product's code."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction

from embeddings.managers import EmbeddingManager
from tests.chaos.provider import DEADLY
from tests.chaos.provider_server import REFUSED
from tests.testapp.models import Memo, Post, Receipt, Word

# Rows that must fail, and nobody else: texts that the provider refuses, and one that kills whoever sends it.
REFUSED_ROWS = 5

_WORDS = [
    "lamp",
    "river",
    "copper",
    "seven",
    "window",
    "grain",
    "harbour",
    "velvet",
    "storm",
    "ticket",
    "orchard",
    "mirror",
    "salt",
    "engine",
    "letter",
]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the column `field` of a row should hold: the vector of `text`, or nothing for ""."""

    row: models.Model
    field: str
    text: str

    @property
    def is_half(self) -> bool:
        return isinstance(self.row, Memo)


def expected() -> Iterator[Expected]:
    """For every embedded column of every living row."""
    for post in Post.objects.iterator():
        yield Expected(post, "embedding", "\n\n".join(part for part in (post.title.strip(), post.body.strip()) if part))
    for receipt in Receipt.objects.iterator():
        yield Expected(receipt, "merchant_embedding", receipt.merchant.strip())
        yield Expected(receipt, "text_embedding", receipt.text.strip())
    for memo in Memo.objects.iterator():
        yield Expected(memo, "embedding", memo.text.strip())
    for word in Word.objects.iterator():
        yield Expected(word, "embedding", f"{word.word}: {word.meaning}".strip() if word.is_public else "")


def write(rows: list[models.Model]) -> None:
    """Insert new rows of one model: in bulk where that opens their tasks, else one by one."""
    manager = type(rows[0])._default_manager
    if isinstance(manager, EmbeddingManager):
        manager.bulk_create(rows, batch_size=2_000)
        return
    with transaction.atomic():
        for row in rows:
            row.save(force_insert=True)


def is_planted(row: models.Model) -> bool:
    return isinstance(row, Post) and (REFUSED in row.title or DEADLY in row.title)


class Population:
    """Makes rows."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._made = 0

    def phrase(self) -> str:
        """A new text, now and then an empty one or one of white space only."""
        self._made += 1
        if self._chance.random() < 0.02:
            return self._chance.choice(["", "  \n "])
        return f"{' '.join(self._chance.choices(_WORDS, k=self._chance.randint(1, 12)))} {self._made}"

    def new(self, model: type[models.Model]) -> models.Model:
        self._made += 1
        values: dict[str, Any]
        if model is Post:
            values = {"title": f"post {self._made}", "body": self.phrase()}
        elif model is Receipt:
            # Few merchants: equal texts in one request.
            values = {"merchant": self._chance.choice(_WORDS), "text": self.phrase()}
        elif model is Memo:
            values = {"text": self.phrase()}
        else:
            values = {"word": f"word {self._made}", "meaning": self.phrase(), "is_public": self._chance.random() < 0.9}
        return model(**values)

    def backfill(self, rows: int) -> None:
        """Write so many rows, of all models, and the planted ones in their midst."""
        shares = {Post: 0.8, Receipt: 0.08, Memo: 0.06, Word: 0.06}
        for model, share in shares.items():
            made = [self.new(model) for _ in range(round(rows * share))]
            if model is Post:
                for planted in _planted():
                    made.insert(self._chance.randrange(len(made)), planted)
            write(made)


def _planted() -> list[Post]:
    refused = [Post(title=f"{REFUSED} {number}") for number in range(REFUSED_ROWS)]
    return [*refused, Post(title=DEADLY)]
