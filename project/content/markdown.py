"""Markdown as people read it. Whoever wrote it brings no HTML, no script and no request to another host into a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

# A bracket that is never closed costs the parser a tenth of a millisecond; a text with more of them is shown as it is.
MAX_BRACKETS = 5_000


def as_html(text: str) -> SafeString:
    """The text as HTML; its headings come under the page's own."""
    if text.count("[") > MAX_BRACKETS:
        return format_html('<div class="plain">{}</div>', text)
    tokens = _parser.parse(text)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
    for link in _links(tokens):
        link.attrSet("rel", "nofollow noreferrer")
    return mark_safe(_parser.renderer.render(tokens, _parser.options, {}))


def as_plain(text: str) -> str:
    """The text without its marks, for a passage."""
    if text.count("[") > MAX_BRACKETS:
        return text
    blocks = (_plain(token) for token in _parser.parse(text))
    return "\n".join(block for block in blocks if block)


def _image(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """What an image shows, in words: the image itself would be asked from another host."""
    return format_html("<i>{}</i>", tokens[index].content)


def _plain(token: Token) -> str:
    if token.type == "inline":
        breaks = {"softbreak", "hardbreak"}
        return "".join(" " if child.type in breaks else child.content for child in token.children or [])
    return token.content if token.type in {"fence", "code_block"} else ""


def _links(tokens: Sequence[Token]) -> Iterator[Token]:
    return (child for token in tokens for child in token.children or [] if child.type == "link_open")


# HTML stays text, and links are the harmless ones (no javascript:, no data: but images, no file:).
_parser = MarkdownIt("js-default")
_parser.add_render_rule("image", _image)
