"""OpenAI's own client, pointed at this project: POST /v1/embeddings and GET /v1/models."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from rest_framework.authtoken.models import Token

from embeddings import cleanup, live, pauses
from embeddings.batching import estimate_tokens
from embeddings.exceptions import TransientError
from embeddings.gathering import way
from embeddings.models import ProviderCall, ProviderQuota, ProviderState, TextVector
from embeddings.providers.base import Embedded
from embeddings.providers.dummy import DummyProvider, vector
from embeddings.providers.openai.numbers import number
from embeddings.quotas import waits
from project.development import addresses, ports
from tests.integration import sessions
from tests.integration.conftest import MODEL, ROOT, Workers, dummy, wait_until
from tests.integration.conftest import openai as openai_at
from tests.openai_server import OpenAIServer, expected_vector
from tests.testapp.models import DIMENSIONS

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)


@pytest.fixture
def token() -> Iterator[str]:
    """Of a user who may spend money on texts, and nothing else."""
    user = User.objects.create_user("client")
    user.user_permissions.set(Permission.objects.filter(codename="add_directtext"))
    yield Token.objects.create(user=user).key
    user.delete()


@pytest.fixture
def client(live_server, token, redis_client, settings) -> Iterator[openai.OpenAI]:
    settings.EMBEDDING_PROVIDERS = dummy()
    with openai.OpenAI(base_url=f"{live_server.url}/v1", api_key=token, max_retries=0) as client:
        yield client


def is_of(numbers: Any, text: str) -> bool:
    return list(numbers) == pytest.approx(vector(text, DIMENSIONS), abs=1e-6)


def texts_of(count: int, words: str = "text") -> list[str]:
    return [f"{words} {position}" for position in range(count)]


def refused(raised: pytest.ExceptionInfo[openai.APIStatusError]) -> dict[str, Any]:
    """The error in OpenAI's shape, and nothing beside it."""
    body = raised.value.response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


# Answers.


def test_embeddings__of_one_text(client) -> None:
    answer = client.embeddings.create(input="a red apple", model="default", encoding_format="float")

    assert is_of(answer.data[0].embedding, "a red apple")
    assert (answer.object, answer.data[0].object, answer.data[0].index) == ("list", "embedding", 0)
    assert answer.model == "dummy"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == estimate_tokens("a red apple")


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings__of_2048_texts(client, encoding) -> None:
    texts = texts_of(2048)

    # The client asks for base64 by itself unless it is told otherwise.
    asked = {"encoding_format": "float"} if encoding == "float" else {}
    answer = client.embeddings.create(input=texts, model="dummy", **asked)

    assert [each.index for each in answer.data] == list(range(2048))
    assert all(is_of(each.embedding, text) for each, text in zip(answer.data, texts, strict=True))
    assert DummyProvider.inputs == 2048
    assert DummyProvider.calls == 8  # BATCH_SIZE each
    assert ProviderCall.objects.filter(outcome="ok", inputs=256).count() == 8


def test_embeddings__base64_is_of_little_endian_floats(client) -> None:
    answer = client.embeddings.with_raw_response.create(input="words", model="default", encoding_format="base64")

    encoded = answer.http_response.json()["data"][0]["embedding"]
    assert is_of(struct.unpack(f"<{DIMENSIONS}f", base64.b64decode(encoded)), "words")


def test_embeddings__by_the_async_client_several_at_once(client) -> None:
    async def ask() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=client.base_url, api_key=client.api_key, max_retries=0) as asking:
            calls = [asking.embeddings.create(input=[f"text {n}", "same"], model="default") for n in range(5)]
            return await asyncio.gather(*calls)

    answers = asyncio.run(ask())

    assert all(is_of(answer.data[0].embedding, f"text {n}") for n, answer in enumerate(answers))
    assert all(is_of(answer.data[1].embedding, "same") for answer in answers)


def test_embeddings__by_curl_without_a_content_type(client) -> None:
    body = json.dumps({"input": ["words"], "model": "default", "user": "u", "no_such_parameter": 1, "dimensions": None})
    header = f"Authorization: Bearer {client.api_key}"

    run = subprocess.run(
        ["curl", "--silent", "--show-error", f"{client.base_url}embeddings", "-H", header, "-d", body],
        capture_output=True,
        check=True,
    )

    assert is_of(json.loads(run.stdout)["data"][0]["embedding"], "words")


def test_embeddings__takes_the_dimensions_of_the_provider(client) -> None:
    assert client.embeddings.create(input="words", model="default", dimensions=DIMENSIONS).data


def test_embeddings__asks_in_no_transaction(client, monkeypatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    web = Client(headers={"authorization": f"Bearer {client.api_key}"})
    open_ones = []

    def look(self: DummyProvider, texts: list[str]) -> Embedded:
        with sessions.session() as other:
            rows = other.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%' AND datname = %s",
                [connection.settings_dict["NAME"]],
            ).fetchone()
        open_ones.append(rows[0])
        return Embedded([vector(text, DIMENSIONS) for text in texts])

    monkeypatch.setattr(DummyProvider, "embed", look)

    response = web.post("/v1/embeddings", {"input": "words", "model": "default"}, content_type="application/json")

    assert response.status_code == 200
    assert open_ones == [0]


# What is paid.


def test_embeddings__equal_texts_are_paid_once(client) -> None:
    answer = client.embeddings.create(input=["same", " same ", "other", "same"], model="default")

    assert DummyProvider.inputs == 2
    assert [is_of(each.embedding, "same") for each in answer.data] == [True, True, False, True]
    assert answer.usage.total_tokens == 4


def test_embeddings__asked_again_are_not_paid(client) -> None:
    first = client.embeddings.create(input=texts_of(300), model="default")
    DummyProvider.reset()

    again = client.embeddings.create(input=texts_of(300), model="dummy")

    assert DummyProvider.calls == 0
    assert again == first
    assert not any("text" in str(row) for row in TextVector.objects.values())  # No text is stored.


def test_embeddings__of_another_model_are_not_the_same(client, settings) -> None:
    client.embeddings.create(input="words", model="default")
    settings.EMBEDDING_PROVIDERS = {
        **dummy(),
        "short": {"BACKEND": "embeddings.providers.dummy.DummyProvider", "MODEL": "dummy", "DIMENSIONS": 3},
    }

    answer = client.embeddings.create(input="words", model="short")

    assert len(answer.data[0].embedding) == 3


def test_embeddings__a_retry_after_an_error_pays_for_the_rest_only(client, settings, monkeypatch) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BATCH_SIZE": 10, "CONCURRENCY": 1}
    embed = DummyProvider.embed
    monkeypatch.setattr(DummyProvider, "embed", lambda self, texts: 1 / 0 if "text 25" in texts else embed(self, texts))
    with pytest.raises(openai.InternalServerError) as raised:
        client.embeddings.create(input=texts_of(40), model="default")
    paid = DummyProvider.inputs
    monkeypatch.undo()
    DummyProvider.reset()

    answer = client.embeddings.create(input=texts_of(40), model="default")

    assert refused(raised)["code"] == "provider_unavailable"
    assert paid == 20 + 1  # and the ping that says that the provider is well
    assert DummyProvider.inputs == 20
    assert all(is_of(each.embedding, text) for each, text in zip(answer.data, texts_of(40), strict=True))


def test_embeddings__are_deleted_by_age(client) -> None:
    client.embeddings.create(input=["old", "new"], model="default")
    old = TextVector.objects.order_by("pk")[0].pk
    TextVector.objects.filter(pk=old).update(created_at=timezone.now() - timedelta(days=31))

    cleanup.clean_up()

    assert TextVector.objects.count() == 1


def test_embeddings__tokens_are_the_providers(client, monkeypatch) -> None:
    monkeypatch.setattr(
        DummyProvider,
        "embed",
        lambda self, texts: Embedded([vector(text, DIMENSIONS) for text in texts], tokens=100),
    )

    answer = client.embeddings.create(input=texts_of(7), model="default")

    assert answer.usage.total_tokens == 100


# Who may.


@pytest.mark.parametrize(
    ("headers", "code", "words"),
    [
        ({}, None, "didn't provide an API key"),
        ({"authorization": "Bearer"}, "invalid_api_key", "Incorrect API key"),
        ({"authorization": "Bearer nonsense"}, "invalid_api_key", "Incorrect API key"),
    ],
)
@pytest.mark.parametrize("path", ["embeddings", "models", "chat/completions"])
def test_authentication__of_nobody(settings, path, headers, code, words) -> None:
    settings.EMBEDDING_PROVIDERS = dummy()

    response = Client(headers=headers).post(f"/v1/{path}", {}, content_type="application/json")

    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
    error = response.json()["error"]
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    assert words in error["message"]
    assert "nonsense" not in error["message"]


def test_authentication__the_client_raises_its_own_error(client) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").embeddings.create(input="words", model="default")


def test_permission__is_needed(client, token) -> None:
    Token.objects.get(key=token).user.user_permissions.clear()

    with pytest.raises(openai.PermissionDeniedError) as raised:
        client.embeddings.create(input="words", model="default")

    assert "embeddings.add_directtext" in refused(raised)["message"]
    assert DummyProvider.calls == 0


def test_authentication__by_session_needs_a_csrf_token(client, token) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(Token.objects.get(key=token).user)

    read = browser.get("/v1/models")
    posted = browser.post("/v1/embeddings", {"input": "words", "model": "default"}, content_type="application/json")

    assert read.status_code == 200
    assert (posted.status_code, posted.json()["error"]["code"]) == (403, "insufficient_permissions")
    assert "CSRF" in posted.json()["error"]["message"]


def test_authentication__without_the_app_of_tokens_says_what_to_install(settings) -> None:
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "rest_framework.authtoken"]

    response = Client(headers={"authorization": "Bearer any"}).get("/v1/models")

    assert response.status_code == 401
    assert 'add "rest_framework.authtoken" to INSTALLED_APPS' in response.json()["error"]["message"]


# What cannot be used.

TOO_MANY = {"input": ["a"] * 2049}
HEAVY = {"input": ["word " * 6_000] * 41}


@pytest.mark.parametrize(
    ("values", "words", "param"),
    [
        ({"input": ""}, "'input[0]': it has no visible characters", "input"),
        ({"input": ["a", " \u200b"]}, "'input[1]': it has no visible characters", "input"),
        ({"input": []}, "empty array", "input"),
        ({"input": None}, "a string or a list of strings", "input"),
        ({"input": {"a": 1}}, "a string or a list of strings", "input"),
        ({"input": ["a", None]}, "'input[1]': it must be a string", "input"),
        ({"input": [True]}, "'input[0]': it must be a string", "input"),
        ({"input": [1, 2, 3]}, "check_embedding_ctx_length=False", "input"),
        ({"input": [[1, 2], [3]]}, "check_embedding_ctx_length=False", "input"),
        (TOO_MANY, "maximum length 2048, but got one of 2049", "input"),
        (HEAVY, "max 300000 tokens per request", "input"),
        ({"input": ["a", "word " * 7_000]}, "'input[1]': It has about 8,750 tokens, and dummy takes 8,192", "input"),
        ({"input": ["good", "[[reject]]", "fine"]}, "'input[1]'", "input"),
        ({"input": ["[[nan]]"]}, "'input[0]'", "input"),
        ({"dimensions": 3}, f"vectors of {DIMENSIONS} dimensions", "dimensions"),
        ({"dimensions": True}, f"vectors of {DIMENSIONS} dimensions", "dimensions"),
        ({"encoding_format": "hex"}, "'float' and 'base64'", "encoding_format"),
        ({"encoding_format": ["float"]}, "'float' and 'base64'", "encoding_format"),
        ({"model": None}, "You must provide a model", "model"),
        ({"model": 7}, "You must provide a model", "model"),
    ],
)
def test_embeddings__refuses(client, values, words, param) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.post(
            "/embeddings", body={"input": ["words"], "model": "default", **values}, cast_to=openai.types.Embedding
        )

    error = refused(raised)
    assert words in error["message"]
    assert error["param"] == param


@pytest.mark.parametrize("content", ["", "{", "[1]", "[" * 100_000, b"\xff", '"' + "9" * 5000])
def test_embeddings__refuses_what_is_no_object_of_json(token, content) -> None:
    web = Client(headers={"authorization": f"Bearer {token}"})

    response = web.post("/v1/embeddings", content, content_type="application/json")

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_embeddings__refuses_a_body_that_is_too_large(client, settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000

    with pytest.raises(openai.APIStatusError) as raised:
        client.embeddings.create(input="a" * 2_000, model="default")

    assert raised.value.status_code == 413
    assert refused(raised)["code"] == "too_large"


def test_embeddings__of_an_unknown_model_names_those_there_are(client) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.embeddings.create(input="words", model="text-embedding-ada-002")

    error = refused(raised)
    assert error["code"] == "model_not_found"
    assert "`dummy`, `default`" in error["message"]


def test_embeddings__keeps_what_was_made_beside_a_text_that_is_refused(client) -> None:
    texts = texts_of(16)
    texts[11] = "[[reject]]"
    with pytest.raises(openai.BadRequestError, match=r"input\[11\]"):
        client.embeddings.create(input=texts, model="default")
    made = TextVector.objects.count()

    texts[11] = "good"
    answer = client.embeddings.create(input=texts, model="default")

    assert 8 <= made < 16
    assert len(answer.data) == 16


def test_embeddings__of_refused_texts_only_asks_a_few_times(client) -> None:
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(input=[f"[[reject]] {n}" for n in range(1024)], model="default")

    assert DummyProvider.calls < 60


def test_embeddings__quotes_no_text(client, monkeypatch) -> None:
    def fail(self: DummyProvider, texts: list[str]) -> Embedded:
        raise TransientError(f"Bad gateway for {texts[0]!r}")

    monkeypatch.setattr(DummyProvider, "embed", fail)

    with pytest.raises(openai.InternalServerError) as raised:
        client.embeddings.create(input="secret words", model="default")

    assert refused(raised)["message"] == "Bad gateway for '…'"


def test_embeddings__a_bug_is_answered_in_openais_shape(client, monkeypatch, caplog) -> None:
    monkeypatch.setattr("embeddings.openai_api.views.gather", lambda texts, provider: {}["bug"])

    with pytest.raises(openai.InternalServerError) as raised:
        client.embeddings.create(input="words", model="default")

    assert raised.value.status_code == 500
    assert "bug" not in refused(raised)["message"]
    assert any("/v1/embeddings" in record.getMessage() and record.exc_info for record in caplog.records)


def test_embeddings__while_embedding_is_off(client, settings) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ENABLED": False}

    with pytest.raises(openai.InternalServerError) as raised:
        client.embeddings.create(input="words", model="default")

    assert raised.value.status_code == 503
    assert "ENABLED" in refused(raised)["message"]


def test_urls__of_what_there_is_not(client) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="default", messages=[])

    assert refused(raised)["message"].startswith("Unknown request URL: POST /v1/chat/completions.")


# Limits, pauses, circuits.


def retry_after(raised: pytest.ExceptionInfo[openai.APIStatusError]) -> float:
    return number(raised.value.response.headers["retry-after"]) or 0.0


def test_quota__is_taken_and_said_when_it_is_used_up(client, settings) -> None:
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "REQUESTS_PER_MINUTE": 1}}
    client.embeddings.create(input="one", model="default")

    with pytest.raises(openai.RateLimitError) as raised:
        client.embeddings.create(input="two", model="default")

    assert refused(raised)["code"] == "rate_limit_exceeded"
    assert 30 < retry_after(raised) <= 121
    assert DummyProvider.calls == 1


def test_quota__is_the_one_that_operators_have_set(client, monkeypatch) -> None:
    monkeypatch.setattr(live, "PATIENT_SECONDS", 0.0)
    ProviderQuota.objects.create(alias="default", requests_per_minute=1)
    client.embeddings.create(input="one", model="default")

    with pytest.raises(openai.RateLimitError):
        client.embeddings.create(input="two", model="default")


def test_quota__that_refills_soon_is_waited_for(client, settings, monkeypatch) -> None:
    monkeypatch.setattr(waits, "WINDOW_SECONDS", 2)
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BATCH_SIZE": 1}
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "REQUESTS_PER_MINUTE": 60}}  # Two a window.
    started = time.monotonic()

    answer = client.embeddings.create(input=texts_of(4), model="default")

    assert len(answer.data) == 4
    assert 0.5 < time.monotonic() - started < way.PATIENCE_SECONDS


def test_quota__is_waited_for_a_few_seconds_in_all(client, settings, monkeypatch) -> None:
    monkeypatch.setattr(waits, "WINDOW_SECONDS", 2)
    monkeypatch.setattr(way, "PATIENCE_SECONDS", 2.5)
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BATCH_SIZE": 1}
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "REQUESTS_PER_MINUTE": 60}}

    with pytest.raises(openai.RateLimitError) as raised:
        client.embeddings.create(input=texts_of(20), model="default")

    assert 0 < retry_after(raised) <= 3
    assert 2 <= TextVector.objects.count() == DummyProvider.inputs < 10


def test_pause__of_the_provider_is_honoured(client) -> None:
    pauses.pause("provider", "default", reason="test", by="somebody")

    with pytest.raises(openai.InternalServerError) as raised:
        client.embeddings.create(input="words", model="default")

    assert raised.value.status_code == 503
    assert "is paused by an operator" in refused(raised)["message"]
    assert DummyProvider.calls == 0


def test_pause__leaves_what_is_kept(client) -> None:
    client.embeddings.create(input="words", model="default")
    pauses.pause("provider", "default", reason="test", by="somebody")

    assert client.embeddings.create(input="words", model="default").data


def test_circuit__is_honoured(client) -> None:
    until = timezone.now() + timedelta(seconds=20)
    ProviderState.objects.create(alias="default", blocked_reason="circuit", blocked_until=until)

    with pytest.raises(openai.InternalServerError) as raised:
        client.embeddings.create(input="words", model="default")

    assert raised.value.status_code == 503
    assert 15 <= retry_after(raised) <= 20
    assert DummyProvider.calls == 0


def test_circuit__is_closed_by_the_call_that_is_its_probe(client) -> None:
    ProviderState.objects.create(alias="default", blocked_reason="circuit", blocked_until=timezone.now())

    client.embeddings.create(input=texts_of(1000), model="default")

    assert ProviderState.objects.get().blocked_reason == ""


def test_circuit__is_probed_by_one_request_only(client, settings, tmp_path) -> None:
    (tmp_path / "down").touch()
    settings.EMBEDDING_PROVIDERS = dummy(DOWN=str(tmp_path / "down"), LATENCY_SECONDS=0.1)
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BATCH_SIZE": 1}
    ProviderState.objects.create(alias="default", blocked_reason="circuit", blocked_until=timezone.now())

    with pytest.raises(openai.InternalServerError):
        client.embeddings.create(input=texts_of(5), model="default")

    assert DummyProvider.calls == 2  # with the ping that says whose fault it is


def test_circuit__opens_after_failures(client, settings, tmp_path) -> None:
    (tmp_path / "down").touch()
    settings.EMBEDDING_PROVIDERS = dummy(DOWN=str(tmp_path / "down"))
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "CIRCUIT_FAILURES": 2}

    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            client.embeddings.create(input="words", model="default")

    assert ProviderState.objects.get().blocked_reason == "circuit"


def test_rate_limit__of_the_provider_is_passed_on(client) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        client.embeddings.create(input="[[rate-limit]]", model="default")
    calls = DummyProvider.calls
    ProviderState.objects.update(blocked_until=timezone.now() + timedelta(seconds=20))
    with pytest.raises(openai.RateLimitError) as later:
        client.embeddings.create(input="words", model="default")

    assert retry_after(raised) == 1
    assert 15 <= retry_after(later) <= 20
    assert DummyProvider.calls == calls


def test_rest_for_a_quota__that_workers_have_caused_forbids_nothing(client) -> None:
    until = timezone.now() + timedelta(seconds=20)
    ProviderState.objects.create(alias="default", blocked_reason="quota", blocked_until=until)

    assert client.embeddings.create(input="words", model="default").data


# Models.


def test_models__are_aliases_and_model_ids(client, settings) -> None:
    other = {"BACKEND": "embeddings.providers.dummy.DummyProvider", "MODEL": "who/made-it", "DIMENSIONS": 3}
    settings.EMBEDDING_PROVIDERS = {**dummy(), "other": other}

    listed = client.models.list().data

    names = [("dummy", "default"), ("who/made-it", "other"), ("default", "default"), ("other", "other")]
    assert [(each.id, each.owned_by) for each in listed] == names
    assert client.models.retrieve("who/made-it").owned_by == "other"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_schema__has_them() -> None:
    schema = SchemaGenerator().get_schema(request=None, public=True)

    paths = {path: set(schema["paths"][path]) for path in schema["paths"] if path.startswith("/v1/")}
    assert paths == {"/v1/embeddings": {"post"}, "/v1/models": {"get"}, "/v1/models/{name}": {"get"}}
    assert {"bearerAuth": []} in schema["paths"]["/v1/embeddings"]["post"]["security"]
    refused = schema["paths"]["/v1/embeddings"]["post"]["responses"]
    assert set(refused) == {"200", "400", "401", "403", "404", "406", "413", "415", "429", "503"}


# Behind a real server, with OpenAI's own answers.


@pytest.fixture
def web(tmp_path: Path, token, redis_client) -> Iterator[Any]:
    """Starts gunicorn with these providers; returns a client of it."""
    running = []

    def start(providers: dict[str, Any]) -> openai.OpenAI:
        port = ports.free_port()
        options = ["--bind", f"{ports.LOOPBACK}:{port}", "--threads", "2", "--no-control-socket"]
        environment = Workers(tmp_path).environment(providers=providers)
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "project.wsgi", *options, "--log-level", "error"],
            cwd=ROOT,
            env=environment,
        )
        running.append(process)
        wait_until(lambda: addresses.answers(port), seconds=60)
        return openai.OpenAI(base_url=f"http://{ports.LOOPBACK}:{port}/v1", api_key=token, max_retries=0)

    yield start
    for process in running:
        process.terminate()
        process.wait(timeout=15)


def test_embeddings__by_gunicorn_from_openai(web) -> None:
    texts = texts_of(2048)
    with OpenAIServer() as server, web(openai_at(server)) as client:
        answer = client.embeddings.create(input=texts, model=MODEL)
        billed = server.stats_as_json(with_texts=False)
        again = client.embeddings.create(input=texts, model="default")
        billed_again = server.stats_as_json(with_texts=False)

    expected = np.array([expected_vector(text, MODEL, DIMENSIONS) for text in texts])
    assert np.allclose([each.embedding for each in answer.data], expected, atol=1e-6)
    assert answer.usage.total_tokens == sum(map(estimate_tokens, texts))
    assert again == answer
    assert billed_again == billed
