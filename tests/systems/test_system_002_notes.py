"""System 002: a note is answered for at once, and appears when it can be found by meaning."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from embeddings.models import EmbeddingTask, Status
from embeddings.providers.dummy import DummyProvider, vector
from project.content.models import Note
from tests.integration.conftest import child_of, wait_until
from tests.systems.counting import queries

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

API = "/api/notes/"
LIST = "/admin/content/note/"
DIMENSIONS = 256
EMBEDDINGS = {"BACKOFF_BASE_SECONDS": 0.1}


def dummy(**options: Any) -> dict[str, Any]:
    backend = "embeddings.providers.dummy.DummyProvider"
    return {"default": {"BACKEND": backend, "MODEL": "dummy", "DIMENSIONS": DIMENSIONS, "OPTIONS": options}}


@pytest.fixture
def client(person, client_of, redis_client) -> Client:
    """Of somebody who may do everything with notes, and nothing else."""
    return client_of(person("writer", "note"))


def post(client: Client, **values: Any) -> Any:
    return client.post(API, {"slug": "a", "title": "A", "text": "About a.", **values}, content_type="application/json")


def boxed(client: Client, **values: Any) -> dict[str, Any]:
    response = post(client, **values)
    assert response.status_code == 202, response.content
    return response.json()["data"]


def state(client: Client, **query: Any) -> dict[str, Any]:
    response = client.get(f"{API}status/", query)
    assert response.status_code == 200, response.content
    return response.json()["data"]


def problem(response: Any, status: int) -> tuple[str, str]:
    assert response.status_code == status, response.content
    error = response.json()["error"]
    return error["code"], error["message"]


def listed(client: Client) -> list[str]:
    return [note["slug"] for note in client.get(API).json()["data"]["results"]]


# Boxed.


def test_system_002_notes__is_answered_for_at_once_and_appears_with_its_vector(client, workers):
    DummyProvider.reset()

    made = boxed(client, text="It has stripes.")

    assert DummyProvider.calls == 0
    assert not Note.objects.exists()
    assert listed(client) == []
    code, message = problem(client.get(f"{API}{made['entityId']}/"), 404)
    assert code == "boxed"
    assert f"task {made['taskId']}, which makes its vector, is pending" in message
    waiting = {**made, "status": "pending", "isStored": False, "error": None}
    assert state(client, task=made["taskId"]) == state(client, entity=made["entityId"]) == waiting

    workers.burst()

    note = Note.objects.get()
    assert str(note.pk) == made["entityId"]
    assert list(note.embedding) == pytest.approx(vector("A\n\nIt has stripes.", DIMENSIONS), abs=1e-6)
    read = client.get(f"{API}{made['entityId']}/").json()["data"]
    assert (read["text"], read["embedding"]) == ("It has stripes.", "completed")
    stored = {**made, "status": "completed", "isStored": True, "error": None}
    assert state(client, task=made["taskId"]) == state(client, entity=made["entityId"]) == stored


def test_system_002_notes__no_reader_ever_sees_one_without_its_vector(client, workers):
    """Two workers store 60 notes while somebody looks all the time."""
    for _ in range(2):
        workers.started(embeddings={**EMBEDDINGS, "BATCH_SIZE": 5}, providers=dummy(LATENCY_SECONDS=0.2))
    made = [boxed(client, slug=f"n{number}", text=f"text {number}") for number in range(60)]
    seen: list[int] = []

    def is_done() -> bool:
        notes = Note.objects.values_list("pk", "embedding")
        assert not [pk for pk, embedding in notes if embedding is None]
        seen.append(len(notes))
        return seen[-1] == 60

    wait_until(is_done)

    assert {str(pk) for pk in Note.objects.values_list("pk", flat=True)} == {each["entityId"] for each in made}
    assert len(set(seen)) > 2  # they did not come all at once


def test_system_002_notes__killed_worker_neither_loses_nor_doubles_one(client, workers, tmp_path):
    made = boxed(client)
    log = tmp_path / "requests"
    slow = workers.started(embeddings={"LEASE_SECONDS": 1}, providers=dummy(LATENCY_SECONDS=60, LOG=str(log)))
    wait_until(log.exists)  # its request is with the provider

    for pid in (child_of(slow), slow.pid):
        os.kill(pid, signal.SIGKILL)
    workers.start(embeddings={"LEASE_SECONDS": 1, "SWEEP_SECONDS": 0.2}, providers=dummy())
    wait_until(lambda: state(client, task=made["taskId"])["isStored"])

    assert str(Note.objects.get().pk) == made["entityId"]


# Refused at the call.


@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"slug": ""}, "slug: This field may not be blank."),
        ({"slug": "two words"}, "slug: Enter a valid"),
        ({"slug": "taken"}, "slug: note with this slug already exists."),
        ({"slug": "s" * 101}, "slug: Ensure this field has no more than 100 characters."),
        ({"title": None}, "title: This field may not be null."),
        ({"title": "\0"}, "title: Null characters are not allowed."),
        ({"text": ["a"]}, "text: Not a valid string."),
        ({"immediate": "perhaps"}, "immediate: Must be a valid boolean."),
    ],
)
def test_system_002_notes__invalid_value_is_refused_at_the_call(client, values, message, immediate):
    Note.objects.create(slug="taken", title="T", text="t")
    EmbeddingTask.objects.all().delete()

    answer = problem(post(client, **{"immediate": immediate, **values}), 400)

    assert answer[0] == "invalid"
    assert answer[1].startswith(message)
    assert Note.objects.count() == 1
    assert not EmbeddingTask.objects.exists()


def test_system_002_notes__whose_state_is_asked_must_be_said(client, admin_client):
    article = {"slug": "a", "title": "A", "content": "Not a note."}
    admin_client.post("/api/articles/", article, content_type="application/json")
    another = EmbeddingTask.objects.get().pk

    for query in ({}, {"task": "1", "entity": "5f0c2d0e-4b5b-4f3c-8c39-c0de00000000"}, {"task": "x"}, {"entity": "x"}):
        assert problem(client.get(f"{API}status/", query), 400)[0] == "invalid"
    for query in ({"task": 987654}, {"entity": "5f0c2d0e-4b5b-4f3c-8c39-c0de00000000"}, {"task": another}):
        assert problem(client.get(f"{API}status/", query), 404)[0] == "not_found"


def test_system_002_notes__who_may(person, client_of):
    stranger, outsider = client_of(person("stranger")), Client()

    assert problem(outsider.get(API), 403)[0] == "not_authenticated"
    assert problem(stranger.get(API), 403) == ("permission_denied", "This needs the permission content.view_note.")
    assert problem(stranger.get(f"{API}status/"), 403)[0] == "permission_denied"
    assert problem(post(stranger), 403) == ("permission_denied", "This needs the permission content.add_note.")


# What the worker cannot store.


def test_system_002_notes__slug_taken_meanwhile_fails_and_is_stored_once_it_is_free(client, admin_client, workers):
    made = boxed(client, slug="wanted")
    other = boxed(client, slug="free")
    usurper = Note.objects.create(slug="wanted", title="First", text="I was faster.")

    workers.burst()
    failed = state(client, task=made["taskId"])

    assert (failed["status"], failed["isStored"], failed["error"]["kind"]) == ("failed", False, "input")
    assert "slug" in failed["error"]["message"]
    assert "About a." not in failed["error"]["message"]
    assert EmbeddingTask.objects.get(pk=made["taskId"]).payload is not None
    assert state(client, task=other["taskId"])["isStored"]
    assert sorted(listed(client)) == ["free", "wanted"]

    client.patch(f"{API}{usurper.pk}/", {"slug": "first"}, content_type="application/json")
    retried = admin_client.post(f"/api/embeddings/tasks/{made['taskId']}/retry/")
    workers.burst()

    assert retried.status_code == 200
    assert state(client, task=made["taskId"])["isStored"]
    assert str(Note.objects.get(slug="wanted").pk) == made["entityId"]
    assert sorted(listed(client)) == ["first", "free", "wanted"]


def test_system_002_notes__text_that_the_provider_refuses_stays_in_its_box(client, workers):
    bad, good = boxed(client, slug="bad", text="[[reject]]"), boxed(client, slug="good")

    workers.burst(embeddings=EMBEDDINGS)

    assert state(client, task=bad["taskId"])["status"] == Status.FAILED
    assert state(client, task=good["taskId"])["isStored"]
    assert listed(client) == ["good"]
    assert "is failed" in problem(client.get(f"{API}{bad['entityId']}/"), 404)[1]


# Immediate.


def test_system_002_notes__immediate_is_stored_with_its_vector_before_the_answer(client):
    response = post(client, immediate=True)

    assert response.status_code == 201
    data = response.json()["data"]
    assert data["embedding"] == "completed"
    note = Note.objects.get(pk=data["id"])
    assert list(note.embedding) == pytest.approx(vector("A\n\nAbout a.", DIMENSIONS), abs=1e-6)
    assert state(client, entity=data["id"])["isStored"]


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("[[transient]]", 503, "unavailable"),
        ("[[rate-limit]]", 503, "unavailable"),
        ("[[misconfigured]]", 503, "unavailable"),
        ("[[reject]]", 400, "invalid"),
    ],
)
def test_system_002_notes__immediate_stores_nothing_without_its_vector(client, text, status, code):
    assert problem(post(client, immediate=True, text=text), status)[0] == code

    assert not Note.objects.exists()
    assert not EmbeddingTask.objects.exists()


# Switches.


def test_system_002_notes__without_the_queue_it_is_stored_in_the_request(client, settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False}

    made = boxed(client)

    assert state(client, task=made["taskId"])["isStored"]
    assert Note.objects.get(pk=made["entityId"]).embedding is not None


@pytest.mark.parametrize("immediate", [False, True])
def test_system_002_notes__with_embedding_off_it_is_stored_as_it_is(client, settings, immediate):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ENABLED": False}

    response = post(client, immediate=immediate)

    assert response.status_code == 201
    assert Note.objects.get(pk=response.json()["data"]["id"]).embedding is None
    assert not EmbeddingTask.objects.exists()


# The admin.


def test_system_002_notes__admin_stores_at_once_and_shows_the_vector_coming(admin_client, workers):
    added = admin_client.post(f"{LIST}add/", {"title": "T", "slug": "t", "text": "Said in the admin."})
    waiting = admin_client.get(LIST).content.decode()
    workers.burst()
    ready = admin_client.get(LIST).content.decode()

    assert added.status_code == 302
    assert Note.objects.get().slug == "t"
    assert "embedding…" in waiting
    assert ">ready<" in ready
    assert admin_client.get(f"{LIST}{Note.objects.get().pk}/change/").status_code == 200


def test_system_002_notes__lists_cost_no_query_a_row(client, admin_client):
    Note.objects.create(slug="n", title="T", text="t")
    few = [queries(lambda: client.get(API)), queries(lambda: admin_client.get(LIST))]
    Note.objects.bulk_create(Note(slug=f"n{number}", title="T", text="t") for number in range(30))

    assert [queries(lambda: client.get(API)), queries(lambda: admin_client.get(LIST))] == few
    assert len(listed(client)) == 31


# The samples.


def test_system_002_notes__samples_are_loaded_once_and_stay_as_edited(redis_client):
    call_command("load_content", limit=1, verbosity=0)
    notes = Note.objects.count()
    Note.objects.filter(slug="idempotent-jobs").update(slug="every-job-twice", text="Mine.")

    call_command("load_content", limit=1, verbosity=0)

    assert notes >= 40
    assert Note.objects.count() == notes
    assert Note.objects.get(slug="every-job-twice").text == "Mine."
