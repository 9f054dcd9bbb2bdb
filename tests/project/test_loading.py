from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from embeddings.models import EmbeddingTask, Status
from project.content import loading
from project.content.kinds import Kind
from project.content.models import Article
from project.content.sources import Text

pytestmark = pytest.mark.django_db


def text(slug: str, content: str = "What it does.") -> Text:
    return Text(slug=slug, title=slug, content=content, source="m", kind=Kind.DOCUMENTATION)


def load(*texts: Text, complete: bool = True) -> loading.Plan:
    planned = loading.plan(texts, complete=complete)
    loading.carry_out(planned)
    return planned


def counts(planned: loading.Plan) -> tuple[int, int, int, int, int]:
    return len(planned.added), len(planned.updated), planned.unchanged, len(planned.removed), planned.kept


def test_load__adds_and_queues():
    planned = load(text("m.a"), text("m.b"))

    assert counts(planned) == (2, 0, 0, 0, 0)
    assert set(Article.objects.values_list("slug", "kind")) == {("m.a", "documentation"), ("m.b", "documentation")}
    assert list(EmbeddingTask.objects.values_list("status", flat=True)) == [Status.PENDING] * 2


def test_load__again_writes_nothing(django_assert_num_queries):
    load(text("m.a"), text("m.b"))
    before = list(Article.objects.values_list("pk", "updated_at").order_by("pk"))

    with django_assert_num_queries(1):
        planned = load(text("m.a"), text("m.b"))

    assert counts(planned) == (0, 0, 2, 0, 0)
    assert list(Article.objects.values_list("pk", "updated_at").order_by("pk")) == before


def test_load__updates_only_what_changed():
    load(text("m.a"), text("m.b"))
    before = Article.objects.get(slug="m.a")
    version = EmbeddingTask.objects.get(object_id=before.pk).version

    planned = load(text("m.a", "Now something else."), text("m.b"))

    after = Article.objects.get(slug="m.a")
    assert counts(planned) == (0, 1, 1, 0, 0)
    assert (after.pk, after.content) == (before.pk, "Now something else.")
    assert after.updated_at > before.updated_at
    assert EmbeddingTask.objects.get(object_id=after.pk).version > version


def test_load__removes_what_is_gone():
    load(text("m.a"), text("m.b"))

    planned = load(text("m.b"))

    assert counts(planned) == (0, 0, 1, 1, 0)
    assert list(Article.objects.values_list("slug", flat=True)) == ["m.b"]


def test_load__removes_nothing_when_incomplete():
    load(text("m.a"), text("m.b"))

    planned = load(text("m.b"), complete=False)

    assert counts(planned) == (0, 0, 1, 0, 0)


def test_load__keeps_what_people_wrote():
    Article.objects.create(slug="m.a", title="Mine", content="Better.")
    Article.objects.create(slug="mine/alone", title="Mine too", content="Also.")

    planned = load(text("m.a"))

    assert counts(planned) == (0, 0, 0, 0, 1)
    assert set(Article.objects.values_list("title", flat=True)) == {"Mine", "Mine too"}


def test_carry_out__in_batches(monkeypatch):
    monkeypatch.setattr(loading, "BATCH", 2)
    done: list[int] = []

    loading.carry_out(loading.plan([text(f"m.{number}") for number in range(5)]), done.append)

    assert done == [2, 4, 5]
    assert Article.objects.count() == 5


def test_load_content__limit_and_counts():
    out = io.StringIO()

    call_command("load_content", limit=30, stdout=out)
    call_command("load_content", limit=40, stdout=out)

    first, second = [line for line in out.getvalue().splitlines() if line.startswith("Loaded")]
    assert first.endswith("30 added, 0 updated, 0 unchanged, 0 removed.")
    assert second.endswith("10 added, 0 updated, 30 unchanged, 0 removed.")
    assert "  30 of 30 articles written" in out.getvalue()


def test_load_content__dry_run():
    out = io.StringIO()

    call_command("load_content", limit=30, dry_run=True, stdout=out)

    content, samples = out.getvalue().splitlines()
    assert content == "Would load the content: 30 added, 0 updated, 0 unchanged, 0 removed."
    assert samples.startswith("Samples to add: ")
    assert not Article.objects.exists()


def test_load_content__limit_of_nothing():
    with pytest.raises(CommandError, match="at least 1"):
        call_command("load_content", limit=0)
