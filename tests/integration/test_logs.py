"""What a drain writes to the log, and that no text and no key is in it."""

from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from embeddings import creation, direct, ledger, limiter, pauses
from embeddings.models import Pause, ProviderState
from embeddings.pipeline import Drain
from embeddings.worker.databases import errors_logged
from project.environment import logging_settings, read
from tests.integration import sessions
from tests.integration.conftest import dummy, openai
from tests.openai_server import OpenAIServer
from tests.testapp.models import Post

without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

CANARY = "canary-text-6f2d"
KEY = "sk-canary-key-93b1"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the project's LOGGING writes as JSON, with every logger at DEBUG."""
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    settings = logging_settings(read())
    written = io.StringIO()
    settings["handlers"]["console"]["stream"] = written
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logging.config.dictConfig(settings)
    root.setLevel(logging.DEBUG)
    for name in ("openai", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield written
    root.handlers[:] = before
    root.setLevel(level)
    for name in ("openai", "httpx", "httpcore", *settings["loggers"]):
        logging.getLogger(name).setLevel(logging.NOTSET)


def lines(log: io.StringIO, message: str) -> list[dict[str, Any]]:
    """The lines with this message."""
    return [line for line in map(json.loads, log.getvalue().splitlines()) if line["message"] == message]


def test_drain__says_what_it_claims_asks_and_settles(log, drain, settings):
    settings.EMBEDDING_PROVIDERS = dummy()
    Post.objects.create(title=CANARY)

    drain()

    (claimed,) = lines(log, "Claimed tasks.")
    (asked,) = lines(log, "Request to a provider: ok.")
    (settled,) = lines(log, "Settled tasks.")
    assert (claimed["tasks"], claimed["provider"], claimed["worker"], claimed["level"]) == (
        1,
        "default",
        "test",
        "DEBUG",
    )
    assert (asked["inputs"], asked["outcome"], asked["model_id"]) == (1, "ok", "dummy")
    assert (asked["provider"], asked["worker"], asked["level"]) == ("default", "test", "DEBUG")
    assert asked["tokens"] > 0 <= asked["seconds"]
    assert asked["request"] == settled["request"] > 0
    assert (settled["tasks"], settled["completed"]) == (1, 1)


def test_drain__warns_of_a_task_that_fails(log, drain, settings, task_of):
    settings.EMBEDDING_PROVIDERS = dummy()
    post = Post.objects.create(title=f"{CANARY} [[reject]]")

    drain()

    (failed,) = lines(log, "Tasks failed for good.")
    assert (failed["level"], failed["task"], failed["failed"]) == ("WARNING", task_of(post).pk, 1)
    assert (failed["kind"], failed["error"]) == ("input", "InputRejected")
    assert failed["signature"] == task_of(post).error_signature
    (asked,) = lines(log, "Request to a provider: input.")
    assert (asked["level"], asked["request"]) == ("INFO", failed["request"])


def test_audit__warns_of_what_somebody_should_see(log):
    limiter.misconfigured("default", "The key is wrong.")
    limiter.resume("default", by="ann")
    pauses.pause(Pause.Kind.EVERYTHING, reason="A test", by="ann")

    told = [(line["level"], line["event"]) for line in map(json.loads, log.getvalue().splitlines()) if "event" in line]
    assert told == [("WARNING", "blocked"), ("INFO", "unblocked"), ("INFO", "paused")]


def test_rescue__is_a_warning(log, drain):
    Post.objects.create(title="a text")
    ledger.claim("default", 10, worker="dead.1")

    ledger.rescue(worker="dead.1")

    (line,) = [line for line in map(json.loads, log.getvalue().splitlines()) if line.get("event") == "rescued"]
    assert (line["level"], line["subject"]) == ("WARNING", "dead.1")


# Canaries.

FAULTS: list[tuple[str, int]] = [("respond", status) for status in (400, 401, 403, 404, 413, 429, 500)]
FAULTS += [(kind, 0) for kind in ("cut_before", "cut_body", "garbage", "wrong_count", "wrong_dimensions", "nan")]


def provider_with_key(server: OpenAIServer) -> dict[str, Any]:
    given = openai(server)
    given["default"]["OPTIONS"]["API_KEY"] = KEY
    return given


@pytest.mark.parametrize(("kind", "status"), FAULTS)
def test_drain__logs_no_text_and_no_key_of_openai(log, settings, kind, status):
    with OpenAIServer() as server:
        server.api_key = KEY
        settings.EMBEDDING_PROVIDERS = provider_with_key(server)
        settings.EMBEDDINGS = {"MAX_ATTEMPTS": 1, "CIRCUIT_FAILURES": 1}
        Post.objects.create(title=CANARY)
        for quoted in (f"{CANARY} with {KEY}", KEY):  # to the request, and to the ping after it
            server.faults.add(kind, count=1, status=status, body={"error": {"message": f"Refused: {quoted}"}})
        Drain("test", seconds=5).run()
        ProviderState.objects.all().delete()
        Post.objects.create(title=CANARY)
        server.faults.clear()
        Drain("test", seconds=5).run()

    assert lines(log, "Request to a provider: ok.")
    assert [line for line in map(json.loads, log.getvalue().splitlines()) if line.get("outcome") not in {None, "ok"}]
    assert_no_canary(log)


@pytest.mark.parametrize("word", ["", "misconfigured", "rate-limit", "transient", "reject", "nan"])
def test_drain__logs_no_text_of_the_dummy(log, drain, settings, word):
    settings.EMBEDDING_PROVIDERS = dummy()
    settings.EMBEDDINGS = {"MAX_ATTEMPTS": 1}
    Post.objects.create(title=f"{CANARY} [[{word}]]")

    drain()

    assert lines(log, "Claimed tasks.")
    assert_no_canary(log)


def test_drain__logs_no_text_that_the_database_refuses(log, drain):
    with sessions.session() as other:
        other.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'refused %', NEW.title; END $$; "
            "CREATE TRIGGER refuse BEFORE UPDATE ON testapp_post FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        Post.objects.create(title=CANARY)
        drain()
        other.execute("DROP FUNCTION refuse CASCADE")

    assert lines(log, "An attempt failed; the tasks are tried again.")
    assert_no_canary(log)


def test_errors_logged__quotes_no_statement(log):
    with errors_logged(), connection.cursor() as cursor:
        cursor.execute("SELECT nothing, %s", [CANARY])

    assert 'column \\"nothing\\" does not exist' in log.getvalue()
    assert_no_canary(log)


def test_drain__logs_no_box_and_no_direct_text(log, drain, settings):
    settings.EMBEDDING_PROVIDERS = dummy()
    creation.create_boxed(Post, {"title": CANARY}, field="embedding", using="default")
    direct.embed_later(CANARY)

    drain()

    assert len(lines(log, "Request to a provider: ok.")) >= 1
    assert_no_canary(log)


def assert_no_canary(log: io.StringIO) -> None:
    written = log.getvalue()
    assert written
    assert "canary" not in written
