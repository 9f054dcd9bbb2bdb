"""Texts that belong to no object: `embeddings.embed`, `embeddings.result`, and the API over both."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

import embeddings
from embeddings import cleanup, direct, registry, requeue
from embeddings.direct import TextResult
from embeddings.exceptions import ConfigurationError, InputRejected, InputTooLong, RateLimited, TransientError
from embeddings.models import DirectText, EmbeddingTask, ProviderCall, ProviderState
from embeddings.providers.dummy import DummyProvider, vector
from tests.integration import sessions
from tests.integration.conftest import Draining, Workers, dummy, wait_until
from tests.testapp.models import DIMENSIONS

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)

URL = "/api/embeddings/texts/"


def is_of(numbers: Any, text: str) -> bool:
    return numbers is not None and numbers == pytest.approx(vector(text, DIMENSIONS), abs=1e-6)


def blocked() -> str:
    return ProviderState.objects.get().blocked_reason


# Now.


def test_embed__immediate() -> None:
    numbers = embeddings.embed("  words\0 ", immediate=True)

    assert type(numbers) is list
    assert type(numbers[0]) is float
    assert is_of(numbers, "words")
    assert not DirectText.objects.exists()
    assert [(call.outcome, call.inputs, call.tokens) for call in ProviderCall.objects.all()] == [("ok", 1, 1)]


@pytest.mark.parametrize("immediate", [True, False])
@pytest.mark.parametrize(
    ("text", "error"), [("", ValueError), (" \u200b\n", ValueError), (None, TypeError), (b"words", TypeError)]
)
def test_embed__refuses_what_is_no_text(text: Any, error: type[Exception], immediate: bool) -> None:
    with pytest.raises(error, match=r"text.*\.$"):
        embeddings.embed(text, immediate=immediate)

    assert DummyProvider.calls == 0
    assert not EmbeddingTask.objects.exists()


@pytest.mark.parametrize(
    ("text", "error", "outcome"),
    [
        ("[[transient]]", TransientError, "transient"),
        ("[[rate-limit]]", RateLimited, "rate_limit"),
        ("[[reject]]", InputRejected, "input"),
    ],
)
def test_embed__immediate_raises_the_providers_error(text: str, error: type[Exception], outcome: str) -> None:
    with pytest.raises(error):
        embeddings.embed(text, immediate=True)

    assert [call.outcome for call in ProviderCall.objects.all()] == [outcome]


def test_embed__immediate_checks_the_vector_as_workers_do() -> None:
    with pytest.raises(InputRejected, match="NaN"):
        embeddings.embed("[[nan]]", immediate=True)


def test_embed__immediate_takes_any_exception_of_a_provider(monkeypatch: Any) -> None:
    monkeypatch.setattr(DummyProvider, "embed", lambda self, texts: 1 / 0)

    with pytest.raises(TransientError, match="ZeroDivisionError"):
        embeddings.embed("words", immediate=True)


def test_embed__immediate_leaves_a_provider_alone_that_cools_down() -> None:
    with pytest.raises(RateLimited):
        embeddings.embed("[[rate-limit]]", immediate=True)
    calls = DummyProvider.calls

    with pytest.raises(TransientError, match="left alone for now"):
        embeddings.embed("words", immediate=True)

    assert DummyProvider.calls == calls


def test_embed__immediate_is_the_probe_when_one_is_due() -> None:
    ProviderState.objects.create(alias="default", blocked_reason="circuit", blocked_until=timezone.now())

    embeddings.embed("words", immediate=True)

    assert blocked() == ""


def test_embed__immediate_cuts_what_is_too_long(monkeypatch: Any) -> None:
    embed = DummyProvider.embed

    def embed_short(self: DummyProvider, texts: list[str]) -> Any:
        if len(texts[0]) > 100:
            raise InputTooLong
        return embed(self, texts)

    monkeypatch.setattr(DummyProvider, "embed", embed_short)

    assert is_of(embeddings.embed("a" * 360, immediate=True), "a" * 90)
    with pytest.raises(InputTooLong):
        embeddings.embed("a" * 10_000, immediate=True)


@pytest.mark.parametrize("immediate", [True, False])
def test_embed__switched_off(settings: Any, immediate: bool) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ENABLED": False}

    with pytest.raises(ConfigurationError, match="ENABLED"):
        embeddings.embed("words", immediate=immediate)


@pytest.mark.parametrize("immediate", [True, False])
def test_embed__without_a_default_provider(settings: Any, immediate: bool) -> None:
    settings.EMBEDDING_PROVIDERS = {"mine": settings.EMBEDDING_PROVIDERS["default"]}

    with pytest.raises(ConfigurationError, match="'default'"):
        embeddings.embed("words", immediate=immediate)

    assert not DirectText.objects.exists()


def test_register__only_with_a_default_provider(settings: Any) -> None:
    registry.remove(DirectText, "embedding")
    try:
        settings.EMBEDDING_PROVIDERS = {"mine": settings.EMBEDDING_PROVIDERS["default"]}
        direct.register()
        assert not registry.targets_for(DirectText)
        settings.EMBEDDING_PROVIDERS = ["nonsense"]
        direct.register()
        assert not registry.targets_for(DirectText)
    finally:
        settings.EMBEDDING_PROVIDERS = dummy()
        direct.register()

    assert [target.label for target in registry.targets_for(DirectText)] == ["embeddings.directtext.embedding"]


# In the background.


def test_result__follows_the_task(drain: Draining) -> None:
    task_id = embeddings.embed("words")
    before = embeddings.result(task_id)
    drain()
    after = embeddings.result(task_id)

    assert before == TextResult("pending", None, "")
    assert (after.status, after.error) == ("completed", "")
    assert is_of(after.vector, "words")
    assert type(after.vector[0]) is float


def test_result__says_what_went_wrong(drain: Draining) -> None:
    task_id = embeddings.embed("[[reject]] secret")

    drain()

    result = embeddings.result(task_id)
    assert (result.status, result.vector) == ("failed", None)
    assert "asked to refuse" in result.error


def test_result__of_no_text() -> None:
    with pytest.raises(LookupError, match="no text with the task 987654"):
        embeddings.result(987654)


def test_embed__without_the_queue_is_ready_after_the_commit(settings: Any) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False}

    assert is_of(embeddings.result(embeddings.embed("words")).vector, "words")


def test_embed__by_a_worker(workers: Workers) -> None:
    workers.started()
    ids = [embeddings.embed(f"text {number}") for number in range(20)]

    wait_until(lambda: all(embeddings.result(task_id).status == "completed" for task_id in ids))

    assert all(is_of(embeddings.result(task_id).vector, f"text {number}") for number, task_id in enumerate(ids))


def test_requeue__finds_texts_like_any_objects(drain: Draining) -> None:
    embeddings.embed("words")
    EmbeddingTask.objects.all().delete()
    (target,) = registry.get("embeddings.directtext")
    batch = embeddings.models.EmbeddingBatch.objects.create(name="x")

    assert requeue.requeue(target, batch).queued == 1
    drain()

    assert is_of(list(DirectText.objects.get().embedding), "words")


def test_clean_up__deletes_old_texts_with_their_tasks() -> None:
    old, new = embeddings.embed("old"), embeddings.embed("new")
    DirectText.objects.filter(text="old").update(created_at=timezone.now() - timedelta(days=31))

    assert cleanup.clean_up() == 1

    assert embeddings.result(new).status == "pending"
    assert list(EmbeddingTask.objects.values_list("pk", flat=True)) == [new]
    with pytest.raises(LookupError):
        embeddings.result(old)


# The API.


@pytest.fixture
def api() -> APIClient:
    user = User.objects.create_user("texts")
    user.user_permissions.set(Permission.objects.filter(codename__in=["add_directtext", "view_directtext"]))
    client = APIClient()
    client.force_authenticate(User.objects.get(pk=user.pk))
    yield client
    user.delete()


def error(response: Any) -> tuple[int, str, str]:
    body = response.json()
    assert set(body) == {"success", "error"}
    assert body["success"] is False
    return response.status_code, body["error"]["code"], body["error"]["message"]


def test_api__immediate(api: APIClient) -> None:
    response = api.post(URL, {"text": "words", "immediate": True}, format="json")

    assert (response.status_code, response.json()["success"]) == (200, True)
    assert is_of(response.json()["data"]["vector"], "words")


def test_api__in_the_background(api: APIClient, drain: Draining) -> None:
    queued = api.post(URL, {"text": "words"}, format="json")
    task_id = queued.json()["data"]["taskId"]
    before = api.get(f"{URL}{task_id}/").json()
    drain()
    after = api.get(f"{URL}{task_id}/").json()

    assert queued.status_code == 202
    waits = {"taskId": task_id, "status": "pending", "vector": None, "error": ""}
    assert before == {"success": True, "data": waits}
    assert after["data"]["status"] == "completed"
    assert is_of(after["data"]["vector"], "words")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "invalid")),
        ({"text": ""}, (400, "invalid")),
        ({"text": "\u200b"}, (400, "invalid")),
        ({"text": ["a"]}, (400, "invalid")),
        ({"text": "a", "immediate": "perhaps"}, (400, "invalid")),
        ({"text": "[[reject]]", "immediate": True}, (400, "invalid")),
        ({"text": "[[transient]]", "immediate": True}, (503, "unavailable")),
        ({"text": "[[rate-limit]]", "immediate": True}, (503, "unavailable")),
        ({"text": "[[misconfigured]]", "immediate": True}, (503, "unavailable")),
    ],
)
def test_api__says_what_is_wrong(api: APIClient, body: dict[str, Any], expected: tuple[int, str]) -> None:
    response = api.post(URL, body, format="json")

    assert error(response)[:2] == expected


def test_api__quotes_no_text(api: APIClient, monkeypatch: Any) -> None:
    def refuse(self: DummyProvider, texts: list[str]) -> Any:
        raise TransientError(f"Bad gateway for {texts[0]!r}")

    monkeypatch.setattr(DummyProvider, "embed", refuse)

    response = api.post(URL, {"text": "secret words", "immediate": True}, format="json")

    assert error(response) == (503, "unavailable", "Bad gateway for '…'")


def test_api__switched_off(api: APIClient, settings: Any) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ENABLED": False}

    assert error(api.post(URL, {"text": "words"}, format="json"))[:2] == (503, "unavailable")


def test_api__of_no_text(api: APIClient) -> None:
    assert error(api.get(f"{URL}987654/"))[:2] == (404, "not_found")


@pytest.mark.parametrize(("method", "permission"), [("post", "add_directtext"), ("get", "view_directtext")])
def test_api__needs_permission(api: APIClient, method: str, permission: str) -> None:
    user = User.objects.get(username="texts")
    user.user_permissions.remove(Permission.objects.get(codename=permission))
    api.force_authenticate(User.objects.get(pk=user.pk))

    response = getattr(api, method)(URL if method == "post" else f"{URL}1/", {"text": "words"}, format="json")

    assert error(response) == (403, "permission_denied", f"This needs the permission embeddings.{permission}.")
    assert error(APIClient().post(URL, {"text": "words"}))[0] in {401, 403}


def test_api__asks_the_provider_in_no_transaction(api: APIClient, monkeypatch: Any) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    open_ones = []
    embed = DummyProvider.embed
    monkeypatch.setattr(
        DummyProvider, "embed", lambda self, texts: open_ones.append(connection.in_atomic_block) or embed(self, texts)
    )

    api.post(URL, {"text": "words", "immediate": True}, format="json")

    assert open_ones == [False]
