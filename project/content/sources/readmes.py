"""The README texts of the installed packages: by section, and whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata

from django.utils.text import slugify

from project.content.kinds import Kind
from project.content.sources import sections
from project.content.sources.text import MAX_NAME, MIN_CHARACTERS, Text, clean

# What decorates a README and says nothing, in the order in which it is taken away.
DECORATION = [
    (re.compile(pattern, re.MULTILINE | re.DOTALL), replacement)
    for pattern, replacement in [
        (r"<!--.*?-->", ""),
        # RST: pictures and lists of contents with their options; comments, link targets; the line before code
        (r"^\.\. (?:\|[^|\n]+\| )?(?:image|figure|raw|contents)::[^\n]*\n(?:[ \t]+:[^\n]*\n)*", ""),
        (r"^\.\. (?:code-block|code|sourcecode)::[^\n]*\n", ""),
        (r"^\.\. (?![\w-]+::)[^\n]*\n", ""),
        # RST: rows of badges; links with and without an address
        (r"^[| ]*(?:\|[\w-]+\|[| ]*)+$", ""),
        (r"`([^`<\n]+) <[^>\n]+>`_{1,2}", r"\1"),
        (r"`([^`\n]+)`_{1,2}", r"\1"),
        # Markdown: pictures; links with an address or a label; the labels' addresses
        (r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])?", ""),
        (r"(?<![\w\])])\[([^\[\]]*)\](?:\([^()\s]*(?:\([^()]*\)[^()\s]*)?(?:\s+\"[^\"]*\")?\)|\[[^\]\n]*\])", r"\1"),
        (r"^\[[^\]\n]+\]:[^\n]*$", ""),
        (r"</?(?:[abip]|img|div|span|br|h[1-6]|picture|source|center|su[bp]|em|strong|details|summary)\b[^>]*>", ""),
    ]
]
# Markup, and the picture that some headings start with.
HEADING_MARKS = re.compile(r"[*_]{2,}|`|:\w+:|^[^\w\s\"'(<@.$-]+\s+")


def texts() -> Iterator[Text]:
    """A text for each README section of each distribution: "readme/django-rq/installation"."""
    for name, readme in _readmes():
        taken: dict[str, int] = {}
        for section in sections.split(_plain(readme)):
            if len(section.body) >= MIN_CHARACTERS:
                yield _text(name, section, taken)


def whole() -> Iterator[tuple[str, str]]:
    """(distribution name, its README as Markdown) for each that says something."""
    for name, readme in _readmes():
        text = sections.as_markdown(_plain(readme))
        if len(text) >= MIN_CHARACTERS:
            yield name, text


def _readmes() -> Iterator[tuple[str, str]]:
    """(distribution name, README) in alphabetical order, the first found of each name, as importing would do."""
    found: dict[str, tuple[str, str]] = {}
    for distribution in metadata.distributions():
        fields = distribution.metadata
        name = fields.get("Name") if fields else None
        if name and slugify(name) not in found:
            found[slugify(name)] = (name, fields.get("Description") or "")
    for _, readme in sorted(found.items()):
        yield readme


def _plain(readme: str) -> str:
    readme = readme.replace("\r\n", "\n") + "\n"
    for pattern, replacement in DECORATION:
        readme = pattern.sub(replacement, readme)
    return clean(readme)


def _text(name: str, section: sections.Section, taken: dict[str, int]) -> Text:
    """`taken` counts the headings of this README: the second "Usage" is "usage-2"."""
    heading = HEADING_MARKS.sub("", section.heading).strip()
    slug = slugify(heading)[:120] or "about"
    taken[slug] = taken.get(slug, 0) + 1
    number = taken[slug]
    title = heading if heading.lower().startswith(name.lower()) else f"{name}: {heading}" if heading else name
    return Text(
        slug=f"readme/{slugify(name)}/{slug}" + (f"-{number}" if number > 1 else ""),
        title=(title[: MAX_NAME - 10] + (f" ({number})" if number > 1 else "")),
        content=section.body,
        source=name,
        kind=Kind.README,
    )
