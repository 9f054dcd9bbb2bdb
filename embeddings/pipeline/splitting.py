"""Split the texts of claimed tasks into chunks: no provider is needed, and no transaction is open meanwhile.

The chunks are written in one short transaction a text, fenced as vectors are (`settlement`): the parent's row is locked
first, then its task, then its chunks, then its batch, and none is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum

from django.db import DatabaseError, connections, transaction

from embeddings import ledger, writer
from embeddings.chunking import pieces
from embeddings.chunking import rows as chunk_rows
from embeddings.chunking.matching import match
from embeddings.exceptions import RowLocked, SourceChanged, SourceError, SplitterFailed
from embeddings.failure import Failure
from embeddings.ledger import Claim, Completion, Request
from embeddings.models import EmbeddingTask, Status
from embeddings.pipeline.finishing import Finisher
from embeddings.pipeline.hand import Hand, Outcome
from embeddings.pipeline.intake import LongRow, Split, words
from embeddings.registry import targets_for
from embeddings.text import long_text


class Written(Enum):
    """What became of a split."""

    DONE = "done"
    # Somebody else has locked a row of it: to be tried again.
    BUSY = "busy"
    # The text had changed: to be split again.
    REOPENED = "reopened"
    # The parent is gone, or the lease was lost.
    DROPPED = "dropped"


class Splitter:
    """Splits for one drain. What cannot be written now for a lock goes into its hand."""

    def __init__(
        self,
        hand: Hand,
        outcome: Outcome,
        finisher: Finisher,
        keep_alive: Callable[[], object],
        is_over: Callable[[], bool],
    ) -> None:
        """`keep_alive` is called between texts, and within long ones, so that leases outlast them.

        `is_over` says that no further text is to be begun.
        """
        self._hand = hand
        self._outcome = outcome
        self._finisher = finisher
        self._keep_alive = keep_alive
        self._is_over = is_over
        self._requested: list[int] = []

    def split(self, rows: Iterable[LongRow], using: str) -> None:
        """Split and write; what one text does to the splitter or the database concerns its own task only.

        What is not begun when the drain's time is over is given back.
        """
        for row in rows:
            if self._is_over():
                ledger.release([row.claim], using=using)
                continue
            self._keep_alive()
            try:
                self._write(self._made(row, using))
            except SourceError as exc:
                about = row.splitting.name_of(row.claim.object_id)
                failure = Failure.of(exc, about=about, private=words(row.parent.instance))
                self._outcome.failed += ledger.fail([row.claim], failure, is_final=True, using=using)
            except Exception as exc:
                self._charge(row.claim, row.parent, exc, using)

    def _charge(self, claim: Claim, parent: writer.Row, exc: Exception, using: str) -> None:
        if not connections[using].is_usable():
            raise exc
        self._finisher.fail(claim, exc, using, private=words(parent.instance))

    def _made(self, row: LongRow, using: str) -> Split:
        splitting = row.splitting
        text = long_text(row.parent.instance, splitting)
        try:
            made = pieces.split(text.text, splitting.tokens, splitting.overlap, self._keep_alive)
        except (KeyboardInterrupt, GeneratorExit, DatabaseError):
            raise
        except BaseException as exc:  # Rust's panics too: they would end the worker, again and again
            raise SplitterFailed(f"{splitting.label} could not be split: {type(exc).__name__}.") from exc
        return Split(row.claim, splitting, using, row.parent, text, made)

    def _write(self, split: Split) -> None:
        written, requested = write(split)
        self._requested += requested
        self._outcome.completed += written is Written.DONE
        if written is Written.BUSY:
            self._hand.unwritten.append(split)

    def write_again(self) -> None:
        """Try once more what others had locked."""
        for split in self._hand.take_unwritten():
            try:
                self._write(split)
            except Exception as exc:
                self._charge(split.claim, split.parent, exc, split.using)

    def take_requested(self) -> list[int]:
        """The tasks of new chunks since it was last asked, for who works given tasks only."""
        requested, self._requested = self._requested, []
        return requested

    def give_up(self) -> None:
        """Leave what others keep locked for later."""
        for split in self._hand.take_unwritten():
            self._finisher.fail(split.claim, RowLocked(), split.using)


def write(split: Split) -> tuple[Written, list[int]]:
    """Bring the chunks to what has been split, and request their vectors; returns the ids of those tasks, too."""
    with transaction.atomic(using=split.using):
        rows = writer.lock(split.splitting, [split.claim.object_id], split.using)
        versions = ledger.lock([split.claim], using=split.using)
        if not rows or not versions:
            return _sort_out_missing(split), []
        is_same_version = versions[split.claim.id] == split.claim.version
        is_same_row = split.splitting.columns is not None and rows[split.claim.object_id] == split.parent.xmin
        if not (is_same_row and is_same_version) and not _is_same_text(split):
            return _reopen(split, is_requested=not is_same_version), []
        stored = chunk_rows.lock(split.splitting, split.parent.instance, split.using)
        priority, batch_id = _urgency(split)
        if stored is None or not ledger.lock_batch(batch_id, using=split.using):
            return Written.BUSY, []
        changes = match(stored, split.pieces, split.text.context)
        new = chunk_rows.write(split.splitting, split.parent.instance, changes, split.text.context, split.using)
        _complete(split)
        moved = [str(pk) for pk, _, _ in changes.moved]
        requests = _requests(split, new, moved, priority)
        return Written.DONE, ledger.request(requests, batch_id=batch_id, using=split.using)


def _sort_out_missing(split: Split) -> Written:
    if not writer.existing(split.splitting, [split.claim.object_id], split.using):
        ledger.discard([split.claim], using=split.using)
    is_held = ledger.held([split.claim], using=split.using)
    return Written.BUSY if is_held else Written.DROPPED


def _is_same_text(split: Split) -> bool:
    rows = writer.load(split.splitting, [split.claim.object_id], split.using)
    try:
        now = long_text(rows[split.claim.object_id].instance, split.splitting)
    except SourceError:
        return False
    return now.fingerprint == split.text.fingerprint


def _reopen(split: Split, *, is_requested: bool) -> Written:
    """To be split again. A change that nobody requested is charged: a source may never give the same text twice."""
    if is_requested:
        ledger.release([split.claim], using=split.using)
    else:
        ledger.fail([split.claim], Failure.of(SourceChanged()), is_final=False, using=split.using)
    return Written.REOPENED


def _complete(split: Split) -> None:
    completion = Completion(
        id=split.claim.id,
        status=Status.COMPLETED if split.pieces else Status.EMPTY,
        fingerprint=split.text.fingerprint,
        tokens_estimated=0,
        tokens=0,
        truncated=False,
    )
    ledger.complete([completion], model_id="", dimensions=None, token=split.claim.token, using=split.using)


def _urgency(split: Split) -> tuple[str, int | None]:
    """The priority of the text's task, and its batch."""
    tasks = EmbeddingTask.objects.using(split.using).filter(pk=split.claim.id)
    return tasks.values_list("priority", "batch_id").get()


def _requests(split: Split, new: Sequence[str], moved: Sequence[str], priority: str) -> list[Request]:
    """The wishes for vectors of chunks with a new text.

    Those that have only moved are looked at where their place may be part of what is embedded.
    """
    return [
        Request(target.content_type_id(split.using), key, target.field, target.provider, priority)
        for target in targets_for(split.splitting.chunk_model)
        for key in ([*new, *moved] if target.is_touched_by(chunk_rows.PLACE) else new)
    ]
