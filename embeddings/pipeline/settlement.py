"""Write vectors and settle their tasks in one transaction, fenced against everything that happened meanwhile.

Locks are taken in the order in which a save takes them, first the object's row, then its task, and never waited for:
a user's transaction is neither blocked nor deadlocked by a worker. What somebody else has locked is tried again later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction

from embeddings import ledger, model_ids, writer
from embeddings.exceptions import SourceChanged, SourceError
from embeddings.failure import Failure
from embeddings.ledger import Completion
from embeddings.models import Status
from embeddings.pipeline.intake import Effect, Settlement
from embeddings.providers import get_provider
from embeddings.registry import Target
from embeddings.text import source_text


@dataclass(slots=True)
class Settled:
    """What became of settlements: counts of tasks, and those to try again."""

    completed: int = 0
    # The text had changed: to be embedded again.
    reopened: int = 0
    # The object is gone, or the lease was lost.
    dropped: int = 0
    busy: list[Settlement] = field(default_factory=list)


def settle(settlements: Iterable[Settlement]) -> Settled:
    """Write what may be written; one transaction a target and claim."""
    groups: dict[tuple[str, Target, UUID], list[Settlement]] = defaultdict(list)
    for settlement in settlements:
        item = settlement.item
        groups[item.using, item.target, item.claim.token].append(settlement)
    settled = Settled()
    for (using, target, token), group in groups.items():
        model_ids.record(target, get_provider(target.provider), using=using)
        with transaction.atomic(using=using):
            _settle_group(using, target, token, group, settled)
    return settled


def _settle_group(using: str, target: Target, token: UUID, group: list[Settlement], settled: Settled) -> None:
    rows = writer.lock(target, [s.item.claim.object_id for s in group], using)
    held = ledger.lock([s.item.claim for s in group], using=using)
    locked, missing = _split(group, lambda s: s.item.claim.object_id in rows and s.item.claim.id in held)
    untouched, touched = _split(
        locked,
        lambda s: (
            target.columns is not None
            and rows[s.item.claim.object_id] == s.item.xmin
            and held[s.item.claim.id] == s.item.claim.version
        ),
    )
    same, changed = _compare(target, touched, held, using)
    _write(target, token, untouched + same, using)
    _reopen(changed, held, using)
    settled.completed += len(untouched) + len(same)
    settled.reopened += len(changed)
    _sort_out_missing(target, missing, using, settled)


def _reopen(changed: list[Settlement], held: dict[int, int], using: str) -> None:
    """To be embedded again. A change that nobody requested is charged: a source may never give the same text twice."""
    requested, unasked = _split(
        changed, lambda s: s.effect is Effect.KEEP or held[s.item.claim.id] != s.item.claim.version
    )
    if requested:
        ledger.release([s.item.claim for s in requested], using=using)
    if unasked:
        ledger.fail([s.item.claim for s in unasked], Failure.of(SourceChanged()), is_final=False, using=using)


def _split(
    settlements: Iterable[Settlement], is_first: Callable[[Settlement], bool]
) -> tuple[list[Settlement], list[Settlement]]:
    first: list[Settlement] = []
    second: list[Settlement] = []
    for settlement in settlements:
        (first if is_first(settlement) else second).append(settlement)
    return first, second


def _compare(
    target: Target, settlements: list[Settlement], held: dict[int, int], using: str
) -> tuple[list[Settlement], list[Settlement]]:
    """Read the locked rows again: those with the embedded text still in them, and those with another."""
    if not settlements:
        return [], []
    rows = writer.load(target, [s.item.claim.object_id for s in settlements], using)
    provider = get_provider(target.provider)

    def is_same(settlement: Settlement) -> bool:
        item, row = settlement.item, rows[settlement.item.claim.object_id]
        if settlement.effect is Effect.KEEP and not (row.has_vector and held[item.claim.id] == item.claim.version):
            return False  # the vector that was to be kept may be gone
        try:
            now = source_text(row.instance, target, provider)
        except SourceError:
            return False
        return now.fingerprint == item.text.fingerprint

    return _split(settlements, is_same)


def _write(target: Target, token: UUID, settlements: list[Settlement], using: str) -> None:
    if not settlements:
        return
    written = [s for s in settlements if s.effect is Effect.WRITE]
    if written:
        object_ids = [s.item.claim.object_id for s in written]
        writer.write_vectors(target, object_ids, [s.vector for s in written], using)
    cleared = [s.item.claim.object_id for s in settlements if s.effect is Effect.CLEAR]
    if cleared:
        writer.clear_vectors(target, cleared, using)
    provider = get_provider(target.provider)
    ledger.complete(
        [completion_of(s) for s in settlements],
        model_id=provider.model_id,
        dimensions=provider.dimensions,
        token=token,
        using=using,
    )


def completion_of(settlement: Settlement) -> Completion:
    """What the ledger records of it."""
    item = settlement.item
    return Completion(
        id=item.claim.id,
        status=Status.EMPTY if settlement.effect is Effect.CLEAR else Status.COMPLETED,
        fingerprint=item.text.fingerprint,
        tokens_estimated=item.text.tokens if item.text.text else 0,
        tokens=settlement.tokens,
        truncated=settlement.truncated or item.text.truncated,
        is_kept=settlement.effect is Effect.KEEP,
    )


def _sort_out_missing(target: Target, settlements: list[Settlement], using: str, settled: Settled) -> None:
    """Tell locked (try again) from gone (forget the task) from lost (another worker has it, or it was cancelled)."""
    if not settlements:
        return
    existing = writer.existing(target, [s.item.claim.object_id for s in settlements], using)
    gone = [s.item.claim for s in settlements if s.item.claim.object_id not in existing]
    if gone:
        ledger.discard(gone, using=using)
    held = ledger.held([s.item.claim for s in settlements], using=using)
    busy = [s for s in settlements if s.item.claim.id in held]
    settled.busy += busy
    settled.dropped += len(settlements) - len(busy)
