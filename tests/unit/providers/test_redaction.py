from __future__ import annotations

import pytest

from embeddings.providers.openai.redaction import Redaction


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Incorrect API key provided: sk-abc12*******wxyz.", "Incorrect API key provided: …"),
        (
            "Incorrect key: sk-proj-abc_DEF-123. See the page.",
            "Incorrect key: … See the page.",
        ),
        ("header was 'Bearer abc'", "header was '…"),
        ("the key is my-own-secret, it is", "the key is …, it is"),
        ("task-runner failed", "task-runner failed"),
    ],
)
def test_apply__takes_out_keys(message: str, shown: str) -> None:
    assert Redaction("my-own-secret", []).apply(message) == shown


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("cannot embed 'a private letter to my lawyer'", "cannot embed '…'"),
        ("cannot embed 'private letter to my law", "cannot embed '…"),
        ("cannot embed Jane Doe here", "cannot embed … here"),
        ("cannot embed a private matter", "cannot embed a private matter"),
        ("input 2 is too long", "input 2 is too long"),
    ],
)
def test_apply__takes_out_what_was_sent(message: str, shown: str) -> None:
    assert Redaction("", ["a private letter to my lawyer", "Jane Doe", "2"]).apply(message) == shown


def test_apply__is_one_line_of_250_characters() -> None:
    shown = Redaction("", []).apply("one\n\ttwo " * 100)

    assert len(shown) == 250
    assert shown.startswith("one two one two")
    assert shown.endswith("…")
