from __future__ import annotations

import time

import pytest

from embeddings import stats
from tests.integration.conftest import wait_until
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def test_drain__fills(drain, task_of):
    post = Post.objects.create(title="a", body="b")

    print(drain())

    post.refresh_from_db()
    assert post.embedding is not None
    assert task_of(post).status == "completed"


def test_worker(workers):
    workers.start()
    time.sleep(3)
    started = time.monotonic()
    post = Post.objects.create(title="a", body="b")
    try:
        wait_until(lambda: Post.objects.filter(pk=post.pk, embedding__isnull=False).exists(), seconds=10)
    except AssertionError:
        print(workers.output())
        raise
    print("took", time.monotonic() - started)
    print(stats.counts_by_status())
    print(workers.output())
