"""Store the object of a box: its row, with the vector in it, and the end of its task are one transaction.

The row is inserted before the task is locked, as in a save: whoever stores an object with the same key does it in this
order too, so that the two cannot deadlock.
"""

from __future__ import annotations

from enum import Enum

from django.core.exceptions import ValidationError
from django.db import connections, models, transaction

from embeddings import ledger, model_ids, payload, writer
from embeddings.exceptions import BoxError, SourceError
from embeddings.pipeline.intake import Item, Settlement
from embeddings.pipeline.settlement import completion_of
from embeddings.providers import get_provider
from embeddings.text import source_text


class Stored(Enum):
    """What became of a box."""

    DONE = "done"
    # Somebody holds the task: to be tried again.
    BUSY = "busy"
    # The lease was lost: another worker has it, or it was cancelled.
    LOST = "lost"


def store(settlement: Settlement) -> Stored:
    """Store one box. Raises what speaks against it: BoxError, the database's errors, those of other receivers."""
    item = settlement.item
    assert item.claim.payload is not None
    if not ledger.held([item.claim], using=item.using):
        return Stored.LOST
    instance = payload.unpack(item.claim.payload, item.using)
    model_ids.record(item.target, get_provider(item.target.provider), using=item.using)
    with transaction.atomic(using=item.using):
        _insert(instance, settlement)
        if item.claim.id in ledger.lock([item.claim], using=item.using):
            ledger.unbox([item.claim], using=item.using)
            settle(settlement)
            return Stored.DONE
        transaction.set_rollback(True, using=item.using)
    return Stored.BUSY if ledger.held([item.claim], using=item.using) else Stored.LOST


def _insert(instance: models.Model, settlement: Settlement) -> None:
    """With all that may speak against it: constraints that PostgreSQL would defer, and a model's own validation."""
    item = settlement.item
    try:
        writer.insert(item.target, instance, settlement.vector, item.using)
    except ValidationError as exc:
        raise BoxError("; ".join(exc.messages)) from exc
    connections[item.using].check_constraints()


def settle(settlement: Settlement) -> bool:
    """End the claimed task of an object that this transaction has stored with its vector.

    If it was stored with another text than was embedded, the task is given back instead, and False returned: the row
    has a vector, and gets that of its own text soon.
    """
    item, using = settlement.item, settlement.item.using
    if not _is_text_as_embedded(item):
        ledger.release([item.claim], using=using)
        return False
    provider = get_provider(item.target.provider)
    ledger.complete(
        [completion_of(settlement)],
        model_id=provider.model_id,
        dimensions=provider.dimensions,
        token=item.claim.token,
        using=using,
    )
    return True


def _is_text_as_embedded(item: Item) -> bool:
    """Whether the row has the text that the instance had: the model's save(), or a receiver, may have changed it."""
    row = writer.load(item.target, [item.claim.object_id], item.using).get(item.claim.object_id)
    if row is None:
        raise BoxError("The object was deleted or got another key while it was saved.")
    try:
        return source_text(row.instance, item.target, get_provider(item.target.provider)).fingerprint == (
            item.text.fingerprint
        )
    except SourceError:
        return False
