"""Calls that are sent several times, and done once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone
from rest_framework.test import APIClient

from embeddings import cleanup, direct, idempotency
from embeddings.models import DirectText, EmbeddingOperation, IdempotencyKey
from embeddings.providers.dummy import DummyProvider
from tests.integration import sessions
from tests.integration.api_clients import API, RETRY, VIEW, client_of, problem

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)

TEXTS = f"{API}texts/"
ADD = "add_directtext"


def post(client: APIClient, path: str = TEXTS, /, key: str = "k", **body: Any) -> Any:
    return client.post(path, body or {"text": "words"}, format="json", headers={"idempotency-key": key})


def test_key__sent_again_gets_the_first_answer(api):
    client = api(ADD)

    first, second = post(client), post(client)

    assert (second.status_code, second.json()) == (first.status_code, first.json()) == (202, first.json())
    assert second.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert DirectText.objects.count() == 1


def test_key__of_a_vector_that_was_waited_for(api):
    client = api(ADD)

    first, second = (post(client, text="words", immediate=True) for _ in range(2))

    assert second.json() == first.json()
    assert len(second.json()["data"]["vector"]) == 256
    assert DummyProvider.calls == 1


@pytest.mark.parametrize(
    ("path", "body", "permissions"),
    [
        ("tasks/bulk/", {"action": "retry", "all": True, "dryRun": False}, [VIEW, RETRY]),
        ("operations/", {"kind": "requeue", "model": "testapp.post"}, ["add_embeddingoperation"]),
    ],
)
def test_key__of_an_operation(api, path, body, permissions):
    client = api(*permissions)
    first = post(client, API + path, **body)
    EmbeddingOperation.objects.update(state="done", finished_at=timezone.now())  # … so that it could begin again

    second = post(client, API + path, **body)

    assert (first.status_code, second.json()) == (202, first.json())
    assert EmbeddingOperation.objects.count() == 1


def test_key__for_something_else_is_refused(api):
    client = api(ADD, "add_embeddingoperation")
    post(client)

    others = [post(client, text="others"), post(client, f"{API}operations/", kind="requeue", model="testapp.post")]

    for response in others:
        assert problem(response, 422) == (
            "key_reused",
            "This Idempotency-Key was used for another call; take a new one.",
        )
    assert DirectText.objects.count() == 1


def test_key__is_a_users_own(api):
    mine, other = api(ADD), client_of(User.objects.get_or_create(username="other")[0], ADD)

    assert post(mine).json() != post(other).json()


def test_key__of_a_call_that_failed_is_free_again(api):
    client = api(ADD)

    refused = [post(client, text=""), post(client, text="[[transient]]", immediate=True)]

    assert [response.status_code for response in refused] == [400, 503]
    assert post(client).status_code == 202


def test_key__of_a_bug_is_free_again(api, monkeypatch):
    client = api(ADD)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(direct, "embed_later", lambda text: 1 / 0)
        post(client)

    assert post(client).status_code == 202


def test_key__of_a_call_at_work(api):
    claim(api)

    assert problem(post(api(ADD)), 409)[1].startswith("The first call with this Idempotency-Key is still at work")


def test_key__of_a_call_whose_provider_may_still_answer(api, settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "REQUEST_TIMEOUT_SECONDS": 300}
    claim(api)
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(seconds=290))

    assert problem(post(api(ADD)), 409)


def test_key__of_a_killed_process_is_free_two_minutes_after_the_providers_time(api, settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "REQUEST_TIMEOUT_SECONDS": 1}
    held = claim(api)
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(seconds=122))

    response = post(api(ADD))
    held.finish(500, {})  # should it live after all
    held.free()

    assert response.status_code == 202
    assert post(api(ADD)).json() == response.json()


def claim(api: Any) -> idempotency.Held:
    """Of a call that has begun, and has not been answered."""
    first = post(api(ADD)).json()
    IdempotencyKey.objects.update(status_code=None, answer=None)
    assert first["success"]
    return idempotency.Held(IdempotencyKey.objects.get().pk)


def test_key__is_forgotten_after_a_day(api):
    client = api(ADD)
    first = post(client).json()
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))

    assert post(client).json() != first


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_key__that_is_none(api, key):
    message = problem(post(api(ADD), key=key), 400)[1]

    assert message == "Idempotency-Key must have 1 to 255 characters."
    assert not DirectText.objects.exists()


def test_key__sent_by_many_at_once_is_done_once(api):
    client = api(ADD)

    def call(number: int) -> int:
        try:
            return post(client).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(24)))

    assert set(answers) <= {202, 409}
    assert 202 in answers
    assert DirectText.objects.count() == 1


def test_clean_up__deletes_what_is_forgotten(api):
    old, young = (post(api(ADD), key=key) for key in ("old", "young"))
    IdempotencyKey.objects.filter(key="old").update(created_at=timezone.now() - timedelta(hours=25))

    cleanup.clean_up(0)

    assert (old.status_code, young.status_code) == (202, 202)
    assert [each.key for each in IdempotencyKey.objects.all()] == ["young"]
