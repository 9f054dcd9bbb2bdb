from __future__ import annotations

import pytest

from project.content import passages


def mark(text: str, query: str) -> str:
    return passages.marked(text, passages.pattern(query))


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("read files", "Reads a file_name.", "<mark>Reads</mark> a <mark>file</mark>_name."),
        ("running", "Run it; it runs. Runtime.", "<mark>Run</mark> it; it <mark>runs</mark>. Runtime."),
        ("parsed", "A parser parses.", "A <mark>parser</mark> <mark>parses</mark>."),
        ("string", "Strict strings.", "Strict <mark>strings</mark>."),
        ("class", "classes", "<mark>classes</mark>"),
        ("call", "calling the caller", "<mark>calling</mark> the <mark>caller</mark>"),
        ("été", "Un ÉTÉ.", "Un <mark>ÉTÉ</mark>."),
        ("a.*", "aaa .*", "aaa .*"),
        ("what is the", "what is the matter", "what is the matter"),
    ],
)
def test_marked__words_and_their_endings(query, text, expected):
    assert mark(text, query) == expected


def test_marked__escapes_everything():
    assert mark("<script>alert('x')</script>", "alert") == (
        "&lt;script&gt;<mark>alert</mark>(&#x27;x&#x27;)&lt;/script&gt;"
    )


def test_passage__beginning_of_the_text_without_words():
    text = "word " * 200

    found = passages.passage(text, None)

    assert found.startswith("word word")
    assert found.endswith("word …")
    assert len(found) <= passages.WIDTH + 2


def test_passage__where_most_words_are():
    text = "first apple. " + "filler " * 100 + "an apple and a pear here. " + "filler " * 100

    found = passages.passage(text, passages.pattern("apples pears"))

    assert "<mark>apple</mark> and a <mark>pear</mark>" in found
    assert found.startswith("… ")
    assert found.endswith(" …")


def test_passage__short_text_whole():
    assert passages.passage("All  of\nit.", passages.pattern("it all")) == "<mark>All</mark> of it."
    assert passages.passage("", passages.pattern("word")) == ""


def test_passage__one_word_everywhere_is_fast():
    found = passages.passage("word " * 100_000, passages.pattern("word"))

    assert found.count("<mark>") > 10


def test_passage__one_endless_word():
    found = passages.passage("x" * 5_000, passages.pattern("x"))

    assert found == "x" * passages.WIDTH + " …"
