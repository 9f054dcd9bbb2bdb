from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from datetime import datetime

import pytest
from django.test import RequestFactory

from embeddings import logs

OURS = logging.getLogger("embeddings.test_logs")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is written to it is one JSON a line."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.JsonFormatter())
    OURS.addHandler(handler)
    OURS.setLevel(logging.DEBUG)
    yield written
    OURS.removeHandler(handler)
    OURS.setLevel(logging.NOTSET)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def record(message: str = "A line.", *, name: str = "embeddings.a", level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, message, (), None)


def raised(exc: Exception, name: str) -> logging.LogRecord:
    try:
        raise exc
    except Exception:
        failed = record(name=name)
        failed.exc_info = sys.exc_info()
        return failed


def test_json_formatter__one_line_with_utc_time_and_fields(stream):
    OURS.info("Two\nlines of %s.", "it", extra={"tasks": 2, "provider": "default"})

    (line,) = lines(stream)

    assert datetime.fromisoformat(str(line.pop("time"))).utcoffset().total_seconds() == 0
    assert isinstance(line.pop("process"), int)
    assert line == {
        "level": "INFO",
        "logger": "embeddings.test_logs",
        "message": "Two\nlines of it.",
        "provider": "default",
        "tasks": 2,
    }


def test_json_formatter__shows_fields_only(stream):
    OURS.info("A line.", extra={"text": "canary", "task": 5})

    assert "canary" not in stream.getvalue()
    assert lines(stream)[0]["task"] == 5


def test_json_formatter__what_is_no_json(stream):
    OURS.info("A line.", extra={"outcome": {1, 2}, "subject": "\ud800"})

    assert lines(stream)[0]["outcome"] == "{1, 2}"


def test_bound__holds_for_a_block_and_within_others(stream):
    with logs.bound(worker="a", provider="b"):
        with logs.bound(provider="c", request=7):
            OURS.info("Within.")
            OURS.info("Of its own.", extra={"provider": "d"})
        OURS.info("After.")
    OURS.info("Outside.")

    fields = [{name: line.get(name) for name in ("worker", "provider", "request")} for line in lines(stream)]
    assert fields == [
        {"worker": "a", "provider": "c", "request": 7},
        {"worker": "a", "provider": "d", "request": 7},
        {"worker": "a", "provider": "b", "request": None},
        {"worker": None, "provider": None, "request": None},
    ]


def test_bound__is_of_a_thread(stream):
    with logs.bound(worker="a"):
        other = threading.Thread(target=OURS.info, args=("Of another.",))
        other.start()
        other.join()

    assert "worker" not in lines(stream)[0]


def test_text_formatter__fields_follow_the_message():
    line = record("It failed.")
    line.created = 0.25
    line.task = 12

    assert logs.TextFormatter().format(line) == "1970-01-01T00:00:00.250Z INFO embeddings.a: It failed. task=12"


@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.TextFormatter()])
def test_format__shows_no_request_of_djangos(formatter):
    line = record("Not Found: /search/", name="django.request")
    line.request = RequestFactory().get("/search/", {"q": "canary"})

    assert "canary" not in formatter.format(line)


@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.TextFormatter()])
def test_format__exceptions_of_ours_without_their_messages(formatter):
    cause = ValueError("canary")
    cause.__cause__ = KeyError("canary")

    ours, others = (formatter.format(raised(cause, name)) for name in ("embeddings.a", "elsewhere"))

    assert "canary" not in ours
    assert "KeyError" in ours and "ValueError" in ours and "in raised" in ours
    assert "canary" in others


@pytest.mark.parametrize(
    ("name", "level", "passes"),
    [
        ("openai._base_client", logging.DEBUG, False),
        ("httpx", logging.INFO, False),
        ("httpcore.http11", logging.DEBUG, False),
        ("django.db.backends", logging.DEBUG, False),
        ("openai._base_client", logging.WARNING, True),
        ("openaiish", logging.DEBUG, True),
        ("embeddings.audit", logging.DEBUG, True),
    ],
)
def test_without_bodies__keeps_quiet_who_would_quote(name, level, passes):
    assert logs.WithoutBodies().filter(record(name=name, level=level)) is passes


def test_fields__are_no_attributes_of_records():
    assert not set(logs.FIELDS) & set(vars(record()))
