from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from project.content import sources
from project.content.kinds import Kind
from project.content.models import Article
from project.content.sources import Text, readmes, stdlib
from project.content.sources.documented import Documented, as_text


@pytest.fixture(scope="module")
def texts() -> dict[str, Text]:
    return {text.slug: text for text in sources.all_texts()}


def test_all_texts__more_than_enough_of_each_kind(texts):
    counts = Counter(text.kind for text in texts.values())

    assert len(texts) > 5_500
    assert counts[Kind.DOCUMENTATION] > 4_500
    assert counts[Kind.REFERENCE] > 100
    assert counts[Kind.README] > 300


def test_all_texts__same_again(texts):
    assert {text.slug: text for text in sources.all_texts()} == texts


def test_all_texts__same_in_another_process(texts):
    """Neither hash seeds nor what else was imported may change a text: it would be embedded again."""
    code = (
        "from project.content.sources import all_texts; import hashlib\n"
        "print(hashlib.sha256(repr(list(all_texts())).encode()).hexdigest())"
    )

    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }

    assert len(digests) == 1


def test_all_texts__prints_and_warns_nothing():
    run = subprocess.run(
        [sys.executable, "-W", "always", "-c", "from project.content.sources import all_texts; list(all_texts())"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout == run.stderr == ""


def test_all_texts__valid_articles(texts):
    slug = Article._meta.get_field("slug")

    for text in texts.values():
        slug.run_validators(text.slug)
        assert 0 < len(text.title) <= 200
        assert len(text.source) <= 200
        assert len(text.keywords) <= 200
        assert 20 <= len(text.content) < 20_000
        assert "\0" not in text.content + text.signature


@pytest.mark.parametrize(
    ("slug", "title", "signature", "opening"),
    [
        ("subprocess.run", "subprocess.run", "run(*popenargs, input=None", "Run command with arguments"),
        (
            "subprocess.Popen.communicate",
            "subprocess.Popen.communicate",
            "Popen.communicate(input=None",
            "Interact with process",
        ),
        ("builtins.str.split", "str.split", "str.split(sep=None, maxsplit=-1)", "Return a list of the"),
        ("asyncio.run", "asyncio.run", "run(main, *", "Execute the coroutine"),
        ("concurrent.futures.Future.result", "concurrent.futures.Future.result", "Future.result(", "Return the result"),
        ("collections.abc.Mapping", "collections.abc.Mapping", "class Mapping", "A Mapping is"),
        ("os.open", "os.open", "open(path, flags", "Open a file"),
        ("socket.socket.connect", "socket.socket.connect", "", "connect(address)"),
        ("decimal.Decimal.sqrt", "decimal.Decimal.sqrt", "Decimal.sqrt(context=None)", "Return the square root"),
        ("json", "json", "", "JSON (JavaScript Object Notation)"),
        ("reference/the-with-statement", 'The "with" statement', "", 'The "with" statement is used to wrap'),
    ],
)
def test_all_texts__as_people_call_them(texts, slug, title, signature, opening):
    assert texts[slug].title == title
    assert texts[slug].signature.startswith(signature)
    assert texts[slug].content.startswith(opening)


@pytest.mark.parametrize(
    ("slug", "keywords"),
    [
        ("subprocess.Popen.communicate", "subprocess Popen communicate"),
        ("builtins.str.split", "str split"),
        ("json", ""),
        ("readme/django-rq/installation", ""),
    ],
)
def test_all_texts__keywords_are_the_names_words(texts, slug, keywords):
    assert texts[slug].keywords == keywords


def test_all_texts__nothing_private(texts):
    names = [text.slug for text in texts.values() if text.kind == Kind.DOCUMENTATION]

    assert not [name for name in names if any(part.startswith("_") for part in name.split("."))]


def test_stdlib_texts__import_nothing():
    code = (
        "import sys; from project.content.sources import stdlib; before = set(sys.modules); list(stdlib.texts())\n"
        "print(len({'antigravity', 'this', 'tkinter', 'turtle', 'subprocess'} & (set(sys.modules) - before)))"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "0\n"


def test_stdlib_texts__unique():
    slugs = [text.slug for text in stdlib.texts()]

    assert [slug for slug, count in Counter(slugs).items() if count > 3] == []


def test_readme_texts__sections_of_a_package():
    found = {text.slug: text for text in readmes.texts() if text.source == "django-rq"}

    assert found["readme/django-rq/installation"].title == "django-rq: Installation"
    assert "pip install django-rq" in found["readme/django-rq/installation"].content
    assert len(found) > 10


def test_readme_texts__without_decoration():
    decorated = [text.slug for text in readmes.texts() if "<img" in text.content or "![" in text.content]

    assert decorated == []


@pytest.mark.parametrize(
    ("markup", "plain"),
    [
        ("[![CI](https://ci/badge.svg)](https://ci) Fast.", "Fast."),
        ("See [the docs](https://docs/a_(b)) and [more][1].\n\n[1]: https://more", "See the docs and more."),
        ("Call `items[0](1)`.", "Call `items[0](1)`."),
        (
            ".. image:: a.svg\n   :alt: a\n\nText with `a link <https://a>`__ and `a name`_.",
            "Text with a link and a name.",
        ),
        ("<p align=center>\n<b>Bold</b> text\n</p>", "Bold text"),
        ("<!-- a\ncomment -->Text", "Text"),
        (".. |badge| image:: b.svg\n.. _link: https://a\n.. a comment\n\n|badge| |badge|\n\nText", "Text"),
    ],
)
def test_plain__takes_away(markup, plain):
    assert readmes._plain(markup).strip() == plain


def test_as_text__too_short_to_say_anything():
    assert as_text(Documented("ast", "Add", "", "Add", is_class=True)) is None


def test_as_text__what_a_database_cannot_hold():
    text = as_text(Documented("m", "f", "(x)", "Ends at the first NUL, \0, or at \ud800 half a character."))

    assert text.content == "Ends at the first NUL, , or at  half a character."


@pytest.mark.parametrize(
    ("path", "signature", "is_class", "expected"),
    [
        ("", "", False, ""),
        ("f", "(x, y=1)", False, "f(x, y=1)"),
        ("C", "", True, "class C"),
        ("C", "(x)", True, "class C(x)"),
        ("C.size", "", False, ""),
    ],
)
def test_as_text__signature(path, signature, is_class, expected):
    documented = Documented("m", path, signature, "What this one does for you.", is_class)

    assert as_text(documented).signature == expected
