"""The naive way: a handler of `post_save` enqueues one django-rq job a row, which embeds the row and saves it.

As many projects have it, and done well: the job is enqueued after the commit, it is given a key and not an object, it
saves one column, and a worker has the model loaded before its first job, so that a fork need not load it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

import django_rq
from django.db import transaction
from django.db.models.signals import post_save
from rq import SimpleWorker, Worker

from benchmarks.models import HandmadePage
from embeddings.providers import get_provider

QUEUE = "naive"


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """Within the block, saves of a HandmadePage enqueue its job."""
    post_save.connect(_enqueue, sender=HandmadePage)
    try:
        yield
    finally:
        post_save.disconnect(_enqueue, sender=HandmadePage)


def embed_page(key: int) -> None:
    """The job."""
    page = HandmadePage.objects.get(pk=key)
    (page.embedding,) = get_provider("default").embed([f"{page.title}\n{page.body}"]).vectors
    page.save(update_fields=["embedding"])


class ForkWorker(Worker):
    """RQ's default worker: a child process for each job."""

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        super().bootstrap(*args, **kwargs)
        get_provider("default").prepare()


class OneProcessWorker(SimpleWorker):
    """RQ's worker that runs its jobs itself."""

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        super().bootstrap(*args, **kwargs)
        get_provider("default").prepare()


def _enqueue(instance: HandmadePage, update_fields: Collection[str] | None, **kwargs: object) -> None:
    if update_fields is None or not {"title", "body"}.isdisjoint(update_fields):
        transaction.on_commit(partial(django_rq.get_queue(QUEUE).enqueue, embed_page, instance.pk))
