"""One object made anew."""

from __future__ import annotations

import pytest

from embeddings import registry, renewal
from embeddings.models import AuditEvent, EmbeddingTask
from tests.testapp.models import Doc, DocChunk, Post

pytestmark = pytest.mark.django_db(transaction=True)


def test_renew__of_an_object_that_is_gone_opens_nothing() -> None:
    post = Post.objects.create(title="a")
    Post.objects.filter(pk=post.pk).delete()
    EmbeddingTask.objects.all().delete()
    (target,) = registry.targets_for(Post)

    assert renewal.renew(target, post, by="ann") == 0
    assert not EmbeddingTask.objects.exists()
    assert not AuditEvent.objects.exists()


def test_renew__of_a_split_text_opens_its_own_task_and_those_of_its_chunks_only(drain) -> None:
    docs = [Doc.objects.create(title=title, content="one two three. " * 100) for title in ("a", "b")]
    drain()
    (splitting,) = registry.splittings_for(Doc)
    before = EmbeddingTask.objects.filter(status="pending").count()

    opened = renewal.renew(splitting, docs[0], by="ann")

    assert before == 0
    assert opened == 1 + DocChunk.objects.filter(doc=docs[0]).count()
    assert EmbeddingTask.objects.filter(status="pending").count() == opened
    assert AuditEvent.objects.get().details == {"tasks": opened}
