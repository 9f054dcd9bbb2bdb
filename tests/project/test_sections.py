from __future__ import annotations

import pytest

from project.content.sources import sections
from project.content.sources.sections import Section


def test_split__markdown():
    text = "Before.\n\n# First #\n\nOne.\n\n## Second\nTwo.\n"

    found = list(sections.split(text))

    assert found == [Section("", "Before."), Section("First", "One."), Section("Second", "Two.")]


@pytest.mark.parametrize("text", ["Title\n=====\nText.", "=====\nTitle\n=====\nText.", "Title\n-----\nText."])
def test_split__underlined(text):
    assert list(sections.split(text)) == [Section("Title", "Text.")]


def test_split__a_comment_in_code_is_no_heading():
    text = "# Use\n\n```python\n# not a heading\nrun()\n```\n\n# Next\n\nEnd."

    found = list(sections.split(text))

    assert [section.heading for section in found] == ["Use", "Next"]
    assert "# not a heading" in found[0].body


def test_split__an_unclosed_fence_ends_with_the_next_one():
    text = "# Use\n\n```python\nrun()\n\n```python\nstop()\n```\n\n# Next\n\nEnd."

    assert [section.heading for section in sections.split(text)] == ["Use", "Next"]


def test_split__long_sections_in_whole_paragraphs():
    paragraph = "word " * 250
    text = "# Long\n\n" + f"{paragraph}\n\n" * 5

    found = list(sections.split(text))

    assert [section.heading for section in found] == ["Long"] * 3
    assert all(len(section.body) <= sections.MAX_CHARACTERS for section in found)
    assert sum(section.body.count("word") for section in found) == 5 * 250


def test_split__a_paragraph_too_long_in_whole_lines():
    lines = [f"line {number}" for number in range(1000)]

    found = list(sections.split("\n".join(lines)))

    assert all(len(section.body) <= sections.MAX_CHARACTERS for section in found)
    assert [line for section in found for line in section.body.splitlines()] == lines


def test_as_markdown__headings_underlined_alike_have_one_level():
    text = "====\nName\n====\nText.\n\nUse\n===\nMore.\n\nIn code\n-------\nEnd.\n\nAlso\n===="

    found = sections.as_markdown(text)

    assert found == "# Name\nText.\n\n## Use\nMore.\n\n### In code\nEnd.\n\n## Also"


def test_as_markdown__leaves_markdown_as_it_is():
    text = "# Use\n\n```python\n# not a heading\n```\n\n| a |\n|---|\n| b |\n\n### Next\n\nEnd."

    assert sections.as_markdown(text) == text
