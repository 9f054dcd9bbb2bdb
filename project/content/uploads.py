"""Uploads of receipts: each is validated by itself, and all that are valid are stored at once, as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from rest_framework.exceptions import ValidationError

import embeddings
from embeddings.api import problems
from embeddings.context import by_person
from embeddings.models import EmbeddingBatch
from project.content.api.receipt_serializers import ReceiptSerializer
from project.content.models import Receipt, ReceiptItem
from project.content.receipt_files import Malformed

# Rows that one INSERT writes.
ROWS = 1_000
KIND = "receipts"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a receipt was not stored: `field` is such as "total" or, of its second item, "items.2.price"."""

    field: str
    message: str

    def __str__(self) -> str:
        return problems.sentence(self.field, self.message)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A receipt that was not stored; the first of an upload is at position 1."""

    position: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Upload:
    """What became of an upload: how many receipts were stored, as which batch (None if none), and which were not."""

    batch: EmbeddingBatch | None
    created: int
    rejected: list[Rejected]


def create_receipts(rows: Sequence[Any], user: AbstractBaseUser | None, name: str = "Upload of receipts") -> Upload:
    """Store those of `rows` that are valid, in one transaction; their vectors follow in the background.

    Though a person uploads them, they have the usual priority: else thousands would delay what others save meanwhile.
    """
    valid, rejected = _sort(rows)
    if not valid:
        return Upload(None, 0, rejected)
    about = {"kind": KIND, "user": user and user.get_username(), "receipts": len(valid), "rejected": len(rejected)}
    with transaction.atomic(), by_person(when=lambda: False), embeddings.batch(name, **about) as batch:
        _store(valid, user)
    return Upload(batch, len(valid), rejected)


def _sort(rows: Sequence[Any]) -> tuple[list[dict[str, Any]], list[Rejected]]:
    """The validated values, and what is wrong with the others."""
    serializer = ReceiptSerializer()
    valid, rejected = [], []
    for position, row in enumerate(rows, 1):
        if isinstance(row, Malformed):
            rejected.append(Rejected(position, (Problem(row.field, row.message),)))
            continue
        try:
            valid.append(serializer.run_validation(row))
        except ValidationError as exc:
            rejected.append(Rejected(position, tuple(Problem(*each) for each in problems.messages(exc.detail))))
    return valid, rejected


def _store(receipts: list[dict[str, Any]], user: AbstractBaseUser | None) -> None:
    items = [receipt.pop("items", []) for receipt in receipts]
    stored = Receipt.objects.bulk_create((Receipt(**values, uploaded_by=user) for values in receipts), batch_size=ROWS)
    ReceiptItem.objects.bulk_create(
        (
            ReceiptItem(**values, receipt=receipt, position=position)
            for receipt, lines in zip(stored, items, strict=True)
            for position, values in enumerate(lines)
        ),
        batch_size=ROWS,
    )
