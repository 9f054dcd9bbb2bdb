from __future__ import annotations

import time

import pytest

from project.content.markdown import as_html, as_plain


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# A *title*", "<h2>A <em>title</em></h2>\n"),
        ("###### Deep", "<h6>Deep</h6>\n"),
        ("<b onclick=x>hi</b>", "<p>&lt;b onclick=x&gt;hi&lt;/b&gt;</p>\n"),
        ("[a](https://b.c)", '<p><a href="https://b.c" rel="nofollow noreferrer">a</a></p>\n'),
        ("[a](javascript:b)", "<p>[a](javascript:b)</p>\n"),
        ('![a<b>](https://b.c/d.png "e")', "<p><i>a&lt;b&gt;</i></p>\n"),
        ("```html\n<i>\n```", '<pre><code class="language-html">&lt;i&gt;\n</code></pre>\n'),
        ("", ""),
    ],
)
def test_as_html(text, html):
    assert as_html(text) == html


def test_as_html__what_is_slow_to_read_is_shown_as_it_is():
    started = time.perf_counter()

    html = as_html("[" * 200_000 + "<")

    assert html.endswith("[&lt;</div>")
    assert time.perf_counter() - started < 1


def test_as_plain__without_marks():
    text = "# Use\n\nRun [it](https://a.b) `now`\nor **never**.\n\n- one\n- two\n\n```py\nrun(1)\n```\n![logo](c.png)"

    assert as_plain(text) == "Use\nRun it now or never.\none\ntwo\nrun(1)\n\nlogo"
