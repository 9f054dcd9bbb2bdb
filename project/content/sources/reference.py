"""The Python language reference, as `help("with")` shows it."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.text import slugify

from project.content.kinds import Kind
from project.content.sources import sections
from project.content.sources.text import MIN_CHARACTERS, Text, clean

SOURCE = "Python reference"


def texts() -> Iterator[Text]:
    """A text for each section: "reference/the-with-statement".

    Topics contain one another ("compound" has "with" in it); a heading that was there before is the same text.
    """
    seen: set[str] = set()
    for _, topic in sorted(_topics().items()):
        parts: dict[str, list[str]] = {}
        for section in sections.split(clean(topic)):
            if section.heading and len(section.body) >= MIN_CHARACTERS:
                parts.setdefault(section.heading, []).append(section.body)
        for heading, bodies in parts.items():
            if slugify(heading) not in seen:
                seen.add(slugify(heading))
                yield from _numbered(heading, bodies)


def _topics() -> dict[str, str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # Some distributions of Python leave it out.
        return {}
    return dict(topics)


def _numbered(heading: str, bodies: list[str]) -> Iterator[Text]:
    for number, body in enumerate(bodies, start=1):
        yield Text(
            slug=f"reference/{slugify(heading)}" + (f"-{number}" if number > 1 else ""),
            title=heading + (f" ({number})" if number > 1 else ""),
            content=body,
            source=SOURCE,
            kind=Kind.REFERENCE,
        )
