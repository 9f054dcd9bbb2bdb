"""The embeddings of each system's objects, on their own admin pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User

from embeddings.models import EmbeddingTask
from project.content.models import Article, Block, Note, Page, Receipt, Recommendation, Workspace

pytestmark = pytest.mark.django_db


def a_page(user: User) -> Page:
    workspace = Workspace.objects.create(name="Ours")
    workspace.members.add(user)
    return Page.objects.create(workspace=workspace, title="A page", content="Its text.")


MAKERS: dict[str, tuple[Callable[[User], Any], int]] = {
    "article": (lambda user: Article.objects.create(slug="a", title="An article"), 1),
    "note": (lambda user: Note.objects.create(slug="a", title="A note", text="Its text."), 1),
    "page": (a_page, 1),
    "block": (lambda user: Block.objects.create(page=a_page(user), text="A block.", position=1), 1),
    "receipt": (lambda user: Receipt.objects.create(merchant="A shop", purchased_on=date(2026, 1, 2), total=3), 2),
    "recommendation": (lambda user: Recommendation.objects.create(title="Do this", text="Now."), 1),
}


@pytest.mark.parametrize(("make", "fields"), MAKERS.values(), ids=MAKERS)
def test_panel__is_on_the_page_and_makes_a_vector_anew(admin_client, admin_user, make, fields) -> None:
    obj = make(admin_user)
    url = f"/admin/content/{obj._meta.model_name}/{quote(str(obj.pk))}/change/"

    html = admin_client.get(url).content.decode()
    links = [part.partition('"')[0] for part in html.split('href="')[1:] if "/embed-again/" in part.partition('"')[0]]
    answers = [admin_client.post(link) for link in links]

    assert len(links) == fields
    assert [answer.url for answer in answers] == [url] * fields
    tasks = EmbeddingTask.objects.filter(object_id=str(obj.pk), content_type__model=obj._meta.model_name)
    assert set(tasks.values_list("version", flat=True)) == {2}
