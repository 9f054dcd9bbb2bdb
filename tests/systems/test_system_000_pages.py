"""System 000: pages and blocks, through the API and the admin, with a worker process and an OpenAI server beside it."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from embeddings.models import EmbeddingTask, Priority, Status
from project.content.models import Block, Page, PageChunk, Workspace
from tests.integration.conftest import MODEL, wait_until
from tests.openai_server import OpenAIServer, expected_vector

pytestmark = pytest.mark.django_db(transaction=True)

PAGES, BLOCKS = "/api/pages/", "/api/blocks/"
MODELS = ("workspace", "page", "pagechunk", "block")


@pytest.fixture
def user(person) -> User:
    return person("editor", *MODELS, is_staff=True)


@pytest.fixture
def workspace(user) -> Workspace:
    workspace = Workspace.objects.create(name="Ours")
    workspace.members.add(user)
    return workspace


@pytest.fixture
def editor(user, workspace, client_of) -> Client:
    """A member of the workspace, who may do everything with its pages."""
    return client_of(user)


@pytest.fixture
def stranger(person, client_of) -> Client:
    """Somebody with the same permissions, and another workspace."""
    user = person("stranger", *MODELS, is_staff=True)
    Workspace.objects.create(name="Theirs").members.add(user)
    return client_of(user)


def write(client: Client, method: str, url: str, data: dict[str, Any], *, status: int) -> Any:
    """The `data` of the answer to a JSON request that must end with this status."""
    response = client.generic(method, url, json.dumps(data), content_type="application/json")
    assert response.status_code == status, response.content
    return response.json()["data"]


def read(client: Client, url: str, **parameters: Any) -> Any:
    response = client.get(url, parameters)
    assert response.status_code == 200, response.content
    return response.json()["data"]


def sections(count: int) -> list[str]:
    """Markdown sections, each about as long as a chunk may be."""
    sentence = "Paragraph {} says in sentence {} what belongs under this heading and nowhere else."
    return [
        f"## Section {number}\n\n" + " ".join(sentence.format(number, n) for n in range(8)) for number in range(count)
    ]


def make_page(client: Client, workspace: Workspace, title: str, content: str) -> int:
    return write(client, "POST", PAGES, {"workspace": workspace.pk, "title": title, "content": content}, status=201)[
        "id"
    ]


def wait_until_ready(client: Client, page: int) -> dict[str, Any]:
    """The chunk progress of a page that has become ready."""

    def is_ready() -> dict[str, Any] | None:
        progress = read(client, f"{PAGES}{page}/status/")
        return progress if progress["isSplit"] and progress["ready"] == progress["total"] > 0 else None

    return wait_until(is_ready)


def task_of_block(block: int) -> EmbeddingTask:
    return EmbeddingTask.objects.get(object_id=str(block), content_type__model="block")


def status_of(client: Client, block: int) -> str:
    return read(client, f"{BLOCKS}{block}/")["embedding"]


def import_blocks(client: Client, page: int, texts: list[str], ids: list[int] | None = None) -> list[int]:
    rows: list[dict[str, Any]] = [{"position": number, "text": text} for number, text in enumerate(texts)]
    for row, pk in zip(rows, ids or [], strict=False):
        row["id"] = pk
    return write(client, "POST", f"{PAGES}{page}/blocks/import/", {"blocks": rows}, status=202)["ids"]


# Pages and their chunks.


def test_system_000_pages__saving_waits_for_no_provider_and_chunks_follow(server: OpenAIServer, editor, workspace):
    server.latency_seconds = 2
    content = "\n\n".join(sections(9))
    read(editor, PAGES)  # What a web process does once, at its first request, is not meant.
    started = time.monotonic()

    made = write(editor, "POST", PAGES, {"workspace": workspace.pk, "title": "Nine", "content": content}, status=201)
    seconds = time.monotonic() - started

    assert seconds < server.latency_seconds
    assert made["chunks"] == {"ready": 0, "total": 0, "failed": 0, "isSplit": False}
    progress = wait_until_ready(editor, made["id"])
    assert progress["failed"] == 0
    chunks = read(editor, f"{PAGES}{made['id']}/chunks/")["results"]
    assert [chunk["index"] for chunk in chunks] == list(range(progress["total"]))
    assert all(content[chunk["start"] : chunk["end"]] == chunk["text"] for chunk in chunks)
    assert {chunk["status"] for chunk in chunks} == {"completed"}
    for chunk in PageChunk.objects.filter(page=made["id"]):
        expected = expected_vector(f"Nine\n\n{chunk.text}", MODEL, settings.EMBEDDING_DIMENSIONS)
        assert np.allclose(chunk.embedding, expected, atol=1e-6)


def test_system_000_pages__editing_one_paragraph_of_50_chunks_embeds_only_what_changed(server, editor, workspace):
    parts = sections(50)
    page = make_page(editor, workspace, "Long", "\n\n".join(parts))
    total = wait_until_ready(editor, page)["total"]
    before = {chunk.pk: (chunk.text, list(chunk.embedding)) for chunk in PageChunk.objects.filter(page=page)}
    paid = server.stats.inputs
    parts[20] = parts[20].replace("sentence 3 what", "sentence 3 and a half, which is new, what")

    write(editor, "PATCH", f"{PAGES}{page}/", {"content": "\n\n".join(parts)}, status=200)
    wait_until_changed(page, before)
    wait_until_ready(editor, page)

    assert total >= 50
    assert paid == total
    changed = [chunk for chunk in PageChunk.objects.filter(page=page) if before.get(chunk.pk, ("",))[0] != chunk.text]
    assert 1 <= len(changed) <= 3
    # Counted where it is paid for.
    assert server.stats.inputs - paid == len(changed)
    for chunk in PageChunk.objects.filter(page=page).exclude(pk__in=[chunk.pk for chunk in changed]):
        assert list(chunk.embedding) == before[chunk.pk][1]


def wait_until_changed(page: int, before: dict[int, Any]) -> None:
    """Return once the page has been split anew."""
    texts = sorted(text for text, _ in before.values())
    wait_until(lambda: sorted(PageChunk.objects.filter(page=page).values_list("text", flat=True)) != texts)


def test_system_000_pages__state_in_the_admin(redis_client, drain, editor, workspace):
    form = {"workspace": workspace.pk, "title": "By hand", "content": "\n\n".join(sections(9))}
    inlines = {f"chunks-{name}_FORMS": 0 for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}

    saved = editor.post("/admin/content/page/add/", {**form, **inlines}, follow=True).content.decode()
    waiting = editor.get("/admin/content/page/").content.decode()
    drain()
    priorities = set(EmbeddingTask.objects.values_list("priority", flat=True))
    page = Page.objects.get()
    ready = editor.get("/admin/content/page/").content.decode()
    EmbeddingTask.objects.filter(object_id=str(page.chunks.first().pk)).update(status=Status.PENDING, completed_at=None)
    partly = editor.get("/admin/content/page/").content.decode()
    shown = editor.get(f"/admin/content/page/{page.pk}/change/").content.decode()

    total = page.chunks.count()
    assert "was added successfully" in saved
    assert ">embedding…<" in waiting
    assert ">ready<" in ready
    assert f">{total - 1} of {total} chunks ready<" in partly
    assert shown.count("<p>ready</p>") == total - 1
    assert priorities == {Priority.HIGH}  # Somebody who saves waits for it.


def test_system_000_pages__deleting_a_page_leaves_nothing(server, editor, workspace):
    page = make_page(editor, workspace, "Gone", "\n\n".join(sections(5)))
    other = make_page(editor, workspace, "Stays", "Short.")
    wait_until_ready(editor, page)
    wait_until_ready(editor, other)
    import_blocks(editor, page, ["one", "two"])  # They still wait for their vectors.

    response = editor.delete(f"{PAGES}{page}/")

    assert response.status_code == 204
    assert list(PageChunk.objects.values_list("page", flat=True)) == [other]
    assert not Block.objects.exists()
    kept = {str(other), *map(str, PageChunk.objects.values_list("pk", flat=True))}
    assert set(EmbeddingTask.objects.values_list("object_id", flat=True)) == kept
    assert editor.get(f"{PAGES}{page}/").status_code == 404


# Blocks: people and programs.


def test_system_000_pages__blocks_of_people_wait_for_nothing(server, editor, workspace):
    page = make_page(editor, workspace, "Page", "")
    (changed,) = import_blocks(editor, page, ["from a program"])
    waiting = task_of_block(changed).status

    made = write(editor, "POST", BLOCKS, {"page": page, "text": "by a person"}, status=201)
    write(editor, "PATCH", f"{BLOCKS}{changed}/", {"text": "by a person, too"}, status=200)
    tasks = [task_of_block(made["id"]), task_of_block(changed)]
    wait_until(lambda: status_of(editor, made["id"]) == status_of(editor, changed) == "completed")

    assert waiting == Status.SCHEDULED
    assert [(task.priority, task.available_at) for task in tasks] == [(Priority.HIGH, None)] * 2
    assert tasks[0].pk == made["taskId"]
    paid = server.stats.inputs_of("by a person"), server.stats.inputs_of("by a person, too")
    assert (server.stats.inputs, paid) == (2, (1, 1))


def test_system_000_pages__background_saves_of_one_block_are_one_embedding(server, editor, workspace):
    page = make_page(editor, workspace, "Page", "")
    started = time.monotonic()
    (block,) = import_blocks(editor, page, ["version 0"])

    for number in range(1, 20):
        import_blocks(editor, page, [f"version {number}"], [block])
    windows = 1 + int((time.monotonic() - started) / 5)  # Of five seconds; on a quiet machine all are in the first.
    wait_until(lambda: status_of(editor, block) == "completed")

    assert task_of_block(block).priority == Priority.LOW
    assert server.stats.inputs_of("version 19") == 1
    assert server.stats.inputs <= windows


def test_system_000_pages__person_goes_ahead_of_2000_blocks_of_a_program(server: OpenAIServer, editor, workspace):
    page = make_page(editor, workspace, "Page", "")
    server.latency_seconds = 0.2  # A request of 100 texts: the 2,000 take some four seconds.
    import_blocks(editor, page, [f"block {number}" for number in range(2000)])
    wait_until(lambda: EmbeddingTask.objects.filter(status=Status.COMPLETED, content_type__model="block").exists())

    mine = write(editor, "POST", BLOCKS, {"page": page, "text": "Mine."}, status=201)["id"]
    wait_until(lambda: status_of(editor, mine) == "completed")

    waiting = EmbeddingTask.objects.filter(status=Status.PENDING, content_type__model="block").count()
    assert waiting >= 1000
    wait_until(lambda: not EmbeddingTask.objects.exclude(status__in=[Status.COMPLETED, Status.EMPTY]).exists())
    assert server.stats.inputs == 2001


def test_system_000_pages__import_is_all_or_nothing(redis_client, editor, workspace):
    page = make_page(editor, workspace, "Page", "")
    other = make_page(editor, workspace, "Other", "")
    (theirs,) = import_blocks(editor, other, ["another page's"])
    rows = [{"text": "new"}, {"id": theirs, "text": "taken over"}]

    response = editor.post(f"{PAGES}{page}/blocks/import/", {"blocks": rows}, content_type="application/json")

    assert response.status_code == 400
    assert response.json()["error"]["message"] == f"blocks: This page has no block {theirs}."
    assert list(Block.objects.values_list("text", flat=True)) == ["another page's"]


# Who sees what.


def test_system_000_pages__strangers_find_nothing_by_any_address(redis_client, editor, workspace, stranger):
    page = make_page(editor, workspace, "Secret", "Text.")
    block = write(editor, "POST", BLOCKS, {"page": page, "text": "Secret."}, status=201)["id"]
    reads = [
        f"{PAGES}{page}/",
        f"{PAGES}{page}/chunks/",
        f"{PAGES}{page}/status/",
        f"{BLOCKS}{block}/",
    ]
    unknown = stranger.get(f"{PAGES}{page + 1000}/").json()

    for url in reads:
        assert stranger.get(url).status_code == 404, url
        assert editor.get(url).status_code == 200, url
    for url in (f"{PAGES}{page}/", f"{BLOCKS}{block}/"):
        assert stranger.patch(url, {}, content_type="application/json").status_code == 404
        assert stranger.delete(url).status_code == 404
    rows = {"blocks": [{"text": "mine"}]}
    imported = stranger.post(f"{PAGES}{page}/blocks/import/", rows, content_type="application/json")
    assert imported.status_code == 404
    assert stranger.get(f"{PAGES}{page}/").json() == unknown
    assert [each["name"] for each in read(stranger, "/api/workspaces/")["results"]] == ["Theirs"]
    assert read(stranger, PAGES)["results"] == read(stranger, BLOCKS)["results"] == []
    assert Page.objects.filter(title="Secret").exists()


def test_system_000_pages__strangers_write_into_no_workspace_and_no_page(redis_client, editor, workspace, stranger):
    page = make_page(editor, workspace, "Ours", "")

    written = stranger.post(PAGES, {"workspace": workspace.pk, "title": "Mine", "content": ""})
    added = stranger.post(BLOCKS, {"page": page, "text": "Mine."})

    assert (written.status_code, added.status_code) == (400, 400)
    assert "workspace: Invalid pk" in written.json()["error"]["message"]
    assert (Page.objects.count(), Block.objects.count()) == (1, 0)


def test_system_000_pages__strangers_find_nothing_by_search(server, editor, workspace, stranger):
    page = make_page(editor, workspace, "Wombat", "All about wombats.")
    block = write(editor, "POST", BLOCKS, {"page": page, "text": "Feed the wombat."}, status=201)["id"]
    wait_until_ready(editor, page)
    wait_until(lambda: status_of(editor, block) == "completed")

    for model in ("page", "pagechunk", "block"):
        question = {"model": f"content.{model}", "q": "wombat"}
        assert len(read(editor, "/api/embeddings/search/", **question)["results"]) == 1, model
        assert read(stranger, "/api/embeddings/search/", **question)["results"] == [], model


def test_system_000_pages__strangers_find_nothing_in_the_admin(redis_client, editor, workspace, stranger):
    page = make_page(editor, workspace, "Secret", "")

    listed = stranger.get("/admin/content/page/").content.decode()
    opened = stranger.get(f"/admin/content/page/{page}/change/")
    offered = stranger.get("/admin/content/page/add/").content.decode()

    assert "Secret" not in listed
    assert opened.status_code == 302  # To the index, with the message that there is no such page.
    assert "Theirs" in offered
    assert "Ours" not in offered
