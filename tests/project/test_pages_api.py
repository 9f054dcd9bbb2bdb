from __future__ import annotations

import base64
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from embeddings import pipeline
from embeddings.models import EmbeddingTask, Priority
from project.content.models import Block, Page, Workspace

pytestmark = pytest.mark.django_db(transaction=True)

PAGES, BLOCKS = "/api/pages/", "/api/blocks/"


@pytest.fixture
def user() -> User:
    user = User.objects.create_user("editor", password="pass", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="content"))
    return user


@pytest.fixture
def workspace(user) -> Workspace:
    workspace = Workspace.objects.create(name="Ours")
    workspace.members.add(user)
    return workspace


@pytest.fixture
def api(user, redis_client) -> Client:
    client = Client()
    client.force_login(user)
    return client


def make_pages(workspace: Workspace, count: int, *, paragraphs: int = 1) -> list[Page]:
    content = "\n\n".join(f"## Part {number}\n\n{'Many words. ' * 60}" for number in range(paragraphs))
    return Page.objects.bulk_create(
        Page(workspace=workspace, title=f"Page {number}", content=content) for number in range(count)
    )


def drain() -> None:
    pipeline.Drain("test", seconds=30).run()


def queries(client: Client, url: str) -> int:
    """How many an answer takes; not those whose results the process keeps."""
    client.get(url)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def message(response: Any, status: int) -> str:
    assert response.status_code == status, response.content
    return response.json()["error"]["message"]


@pytest.mark.parametrize("url", [PAGES, BLOCKS, "/admin/content/page/", "/admin/content/block/"])
def test_list__no_query_a_row(api, workspace, url):
    (page,) = make_pages(workspace, 1)
    Block.objects.create(page=page, text="one")
    few = queries(api, url)
    for page in make_pages(workspace, 20):
        Block.objects.create(page=page, text="one more")

    many = queries(api, url)

    assert many == few


@pytest.mark.parametrize("url", ["/admin/content/page/{}/change/", PAGES + "{}/chunks/"])
def test_chunks__no_query_a_chunk(api, workspace, url):
    (page,) = make_pages(workspace, 1)
    drain()
    few = queries(api, url.format(page.pk))
    (long_page,) = make_pages(workspace, 1, paragraphs=20)
    drain()

    many = queries(api, url.format(long_page.pk))

    assert long_page.chunks.count() >= 20 > page.chunks.count()
    assert many == few


def test_chunks__in_pages(api, workspace):
    (page,) = make_pages(workspace, 1, paragraphs=20)
    drain()
    total = page.chunks.count()

    first = api.get(f"{PAGES}{page.pk}/chunks/", {"page_size": 15}).json()["data"]
    second = api.get(first["next"]).json()["data"]

    indexes = [chunk["index"] for chunk in [*first["results"], *second["results"]]]
    assert indexes == list(range(min(total, 30)))


def test_list__without_texts_and_by_workspace(api, user, workspace):
    other = Workspace.objects.create(name="Also ours")
    other.members.add(user)
    make_pages(workspace, 2)
    (wanted,) = make_pages(other, 1)

    found = api.get(PAGES, {"workspace": other.pk}).json()["data"]["results"]
    refused = api.get(PAGES, {"workspace": "ours"})
    workspaces = api.get("/api/workspaces/").json()["data"]["results"]

    assert [page["id"] for page in found] == [wanted.pk]
    assert "content" not in found[0]
    assert found[0]["chunks"] == {"ready": 0, "total": 0, "failed": 0, "isSplit": False}
    assert message(refused, 400) == "workspace: Enter a whole number."
    assert {each["name"]: each["pages"] for each in workspaces} == {"Ours": 2, "Also ours": 1}


def test_blocks__of_a_page(api, workspace):
    first, second = make_pages(workspace, 2)
    Block.objects.create(page=first, text="one")
    wanted = Block.objects.create(page=second, text="two")

    found = api.get(BLOCKS, {"page": second.pk}).json()["data"]["results"]

    task = EmbeddingTask.objects.get(object_id=str(wanted.pk), content_type__model="block")
    assert [(each["id"], each["embedding"], each["taskId"]) for each in found] == [(wanted.pk, "scheduled", task.pk)]


def test_save__of_a_user_with_basic_auth_is_a_person_s(user, workspace, redis_client):
    """Who it is, the REST framework finds out only in the view."""
    (page,) = make_pages(workspace, 1)
    credentials = base64.b64encode(b"editor:pass").decode()

    made = Client().post(BLOCKS, {"page": page.pk, "text": "one"}, headers={"authorization": f"Basic {credentials}"})

    assert made.status_code == 201
    assert EmbeddingTask.objects.get(content_type__model="block").priority == Priority.HIGH


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ([], "blocks: This list may not be empty."),
        ([{"position": 1}], "blocks.1.text: This field is required."),
        ([{"text": "a", "position": -1}], "blocks.1.position: Ensure this value is greater than or equal to 0."),
        ([{"text": "a\0"}], "blocks.1.text: Null characters are not allowed."),
        ([{"text": "a", "id": 10**30}], f"blocks: This page has no block {10**30}."),
        ([{"text": "a"}] * 5001, "blocks: Ensure this field has no more than 5000 elements."),
    ],
)
def test_import__says_what_is_wrong(api, workspace, blocks, problem):
    (page,) = make_pages(workspace, 1)

    response = api.post(f"{PAGES}{page.pk}/blocks/import/", {"blocks": blocks}, content_type="application/json")

    assert message(response, 400) == problem
    assert not Block.objects.exists()


def test_import__changes_blocks_only_with_the_permission(api, user, workspace):
    (page,) = make_pages(workspace, 1)
    block = Block.objects.create(page=page, text="one")
    user.user_permissions.remove(Permission.objects.get(codename="change_block"))
    url = f"{PAGES}{page.pk}/blocks/import/"

    added = api.post(url, {"blocks": [{"text": "two"}]}, content_type="application/json")
    changed = api.post(url, {"blocks": [{"id": block.pk, "text": "three"}]}, content_type="application/json")

    assert added.status_code == 202
    assert message(changed, 403) == "To change blocks this needs the permission content.change_block."
    assert list(Block.objects.order_by("pk").values_list("text", flat=True)) == ["one", "two"]


def test_workspace_admin__whoever_makes_one_is_a_member(api, user):
    api.post("/admin/content/workspace/add/", {"name": "New"})

    assert list(Workspace.objects.get(name="New").members.all()) == [user]
