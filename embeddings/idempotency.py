"""Calls that are done once however often they are sent: the first claims its key, and leaves its answer there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from embeddings import conf
from embeddings.exceptions import EmbeddingsError
from embeddings.models import IdempotencyKey

# Answers are kept so long.
KEPT = timedelta(hours=24)
# Who has claimed a key, and left no answer so long after its provider was given up, was killed.
SPARE = timedelta(minutes=2)


class KeyInUse(EmbeddingsError):
    """The first call with this key is still at work."""


class KeyOfAnother(EmbeddingsError):
    """This key was used for something else."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the first call was answered."""

    status_code: int
    data: Any


@dataclass(frozen=True, slots=True)
class Held:
    """A claimed key: finish() or free() it. Once somebody else has claimed it, both do nothing."""

    pk: int

    def finish(self, status_code: int, data: Any) -> None:
        """Keep the answer, JSON, for those who ask again."""
        _keys().filter(pk=self.pk).update(status_code=status_code, answer=data)

    def free(self) -> None:
        """Nothing was done: the next call may."""
        _keys().filter(pk=self.pk, status_code=None).delete()


def claim(user: str, key: str, fingerprint: str) -> Held | Answer:
    """The key, claimed for this call; or the answer that there is. `fingerprint` says what the call is about.

    Raises KeyInUse or KeyOfAnother.
    """
    expired().filter(user=user, key=key).delete()
    try:
        with transaction.atomic(using=_using()):
            return Held(_keys().create(user=user, key=key, fingerprint=fingerprint).pk)
    except IntegrityError:
        found = _keys().filter(user=user, key=key).first()
    if found is None:  # just freed: whoever sends it again will get it
        raise KeyInUse
    if found.fingerprint != fingerprint:
        raise KeyOfAnother
    if found.status_code is None:
        raise KeyInUse
    return Answer(found.status_code, found.answer)


def expired() -> QuerySet[IdempotencyKey]:
    """Keys whose answers are old, and those of calls that never answered."""
    patience = timedelta(seconds=conf.current().request_timeout_seconds) + SPARE
    is_given_up = Q(status_code=None, created_at__lt=Now() - patience)
    return _keys().filter(is_given_up | Q(created_at__lt=Now() - KEPT))


def _keys() -> QuerySet[IdempotencyKey]:
    return IdempotencyKey.objects.using(_using())


def _using() -> str:
    return conf.current().databases[0]
