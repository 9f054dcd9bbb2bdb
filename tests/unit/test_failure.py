from __future__ import annotations

import pytest
from django.db import IntegrityError, OperationalError
from hypothesis import given, settings
from hypothesis import strategies as st

from embeddings.exceptions import (
    InputRejected,
    InputTooLong,
    ProviderMisconfigured,
    RateLimited,
    SourceError,
    TransientError,
)
from embeddings.failure import Failure
from embeddings.models import EmbeddingTask


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RateLimited("m"), "rate_limit"),
        (TransientError("m"), "transient"),
        (InputRejected("m"), "input"),
        (InputTooLong("m"), "input"),
        (ProviderMisconfigured("m"), "configuration"),
        (SourceError("m"), "input"),
        (ValueError("m"), "transient"),
    ],
)
def test_of__kind_follows_the_class(error: Exception, kind: str) -> None:
    assert Failure.of(error) == Failure(kind, type(error).__name__, "m")


def test_of__error_without_a_message_is_named() -> None:
    assert Failure.of(KeyError()).message == "KeyError"
    assert Failure.of(RateLimited()).message == "The provider asked to slow down."


def test_of__long_message_is_cut() -> None:
    assert len(Failure.of(ValueError("x" * 5000)).message) == 1000


def test_of__nul_is_left_out() -> None:
    assert Failure.of(ValueError("a\0b")).message == "ab"


def test_of__message_can_always_be_stored() -> None:
    assert Failure.of(ValueError("refused: \ud83d")).message.encode()


def test_of__says_what_it_is_about_once() -> None:
    named = SourceError("testapp.Word x: it failed")

    failures = [Failure.of(named, about="testapp.Word x"), Failure.of(SourceError("it failed"), about="testapp.Word x")]

    assert {failure.columns()["error_message"] for failure in failures} == {"testapp.Word x: it failed"}


def test_of__tells_where_an_error_came_from() -> None:
    error = OperationalError("server closed the connection\nunexpectedly")
    error.add_note("testapp.Word x: the source failed")

    failure = Failure.of(error, about="testapp.Word x")

    assert failure.columns()["error_message"] == "testapp.Word x: the source failed: server closed the connection"


def test_of__leaves_out_what_an_error_of_the_database_says_of_the_row() -> None:
    error = IntegrityError('violates constraint "c"\nDETAIL:  Failing row contains (1, secret).')

    assert Failure.of(error).message == 'violates constraint "c"'


def test_columns__fit_with_what_they_are_about() -> None:
    assert len(Failure.of(ValueError("x" * 5000), about="testapp.Word x").columns()["error_message"]) == 1000


SECRET = "Jane Roe, born 1970, has tested positive."


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("It broke.", "It broke."),
        (f"invalid literal for int() with base 10: '{SECRET}'", "invalid literal for int() with base 10: '…'"),
        ("no such person: 'Jane Roe'", "no such person: '…'"),
        ('no such person: "Jane Roe"', "no such person: '…'"),
        ("no such person: 'John Doe'", "no such person: 'John Doe'"),
        (f"cannot embed {SECRET}", "cannot embed …"),
        ("cannot embed: who has tested positive, and", "cannot embed: who…, and"),
        (f"refused: {SECRET[:30]} (cut)", "refused: … (cut)"),
        (r"invalid: 'first line\nsecond line'", "invalid: '…'"),
    ],
)
def test_of__quotes_nothing_private(message: str, expected: str) -> None:
    assert Failure.of(ValueError(message), private=[SECRET, "first line\nsecond line"]).message == expected


@settings(max_examples=50)
@given(st.text(min_size=16, max_size=200), st.text(max_size=50), st.text(max_size=50))
def test_of__quotes_no_long_passage(text: str, before: str, after: str) -> None:
    message = Failure.of(ValueError(before + text + after), private=[text]).message

    assert not any(text[n : n + 16] in message for n in range(len(text) - 15))


def test_signature__is_of_the_cause_whatever_the_object() -> None:
    signatures = {Failure.of(ValueError("bad"), about=f"testapp.Word {word}").signature for word in ("cat", "dog")}

    assert signatures == {"transient: ValueError: bad"}


def test_signature__leaves_out_the_object_that_the_message_names() -> None:
    about = ("testapp.Word cat", "testapp.Word dog")

    signatures = {Failure.of(ValueError(f"cannot read {word}"), about=word).signature for word in about}

    assert signatures == {"transient: ValueError: cannot read …"}


def test_signature__tells_http_statuses_apart() -> None:
    signatures = set()
    for status in (500, 503):
        error = TransientError(f"It failed ({status}).")
        error.http_status = status
        signatures.add(Failure.of(error).signature)

    assert signatures == {
        "transient: TransientError 500: It failed (…).",
        "transient: TransientError 503: It failed (…).",
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Text 17 is bad.", "Text 4 is bad."),
        ("It took 1.5 s.", "It took 20.25 s."),
        ("No field 'a'.", "No field 'b c'."),
        ('No field "a".', 'No field "b c".'),
        ("id 6b29fc40-ca47-1067-b31d-00dd010662da", "id 00000000-0000-0000-0000-000000000001"),
        ("request req 0123456789abcdef failed", "request req fedcba9876543210 failed"),
    ],
)
def test_signature__is_equal_for_equal_failures(first: str, second: str) -> None:
    assert Failure("input", "E", first).signature == Failure("input", "E", second).signature


def test_signature__tells_kinds_classes_and_words_apart() -> None:
    failures = [
        Failure("input", "E", "bad"),
        Failure("transient", "E", "bad"),
        Failure("input", "F", "bad"),
        Failure("input", "E", "worse"),
    ]

    assert len({failure.signature for failure in failures}) == 4
    assert failures[0].signature == "input: E: bad"


@settings(max_examples=30)
@given(st.text(max_size=1500))
def test_signature__fits_its_column(message: str) -> None:
    failure = Failure.of(ValueError(message))

    assert len(failure.signature) <= EmbeddingTask._meta.get_field("error_signature").max_length
    assert len(failure.kind) <= EmbeddingTask._meta.get_field("error_kind").max_length
