"""The passage of a text that answers a query: where its words are, marked."""

from __future__ import annotations

import re
from itertools import islice

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

# Characters of a passage, and how many of them stand before the first word found.
WIDTH = 260
LEAD = 60
# A word that is everywhere in a text would make every window be looked at.
MAX_MATCHES = 200

EVERYWHERE = (
    "a an and are as at be but by can do does for from has have how i if in into is it its me my not of on or so "
    "than that the their them then there this to was what when where which who why will with you your"
)
COMMON = frozenset(EVERYWHERE.split())
ENDINGS = re.compile(r"(?<=\w{4})(?:ing|ed)$|(?<=\w{3})(?<!s)s$")
# What a stem may go on with and still be the word that was asked for: read → reads, reading, reader; run → running.
ENDED = r"(?:e?s|e?d|e|ers?|[a-z]?(?:ing|ed))?"


def pattern(query: str) -> re.Pattern[str] | None:
    """What finds the words of `query` and their other endings; None if it has no word worth finding."""
    words = {word for word in re.findall(r"[^\W_]+", query.lower()) if len(word) > 1 and word not in COMMON}
    if not words:
        return None
    stems = sorted({re.escape(_stem(word)) for word in words}, key=len, reverse=True)
    return re.compile(rf"(?<![^\W_])(?P<stem>{'|'.join(stems)}){ENDED}(?![^\W_])", re.IGNORECASE)


def passage(text: str, wanted: re.Pattern[str] | None) -> SafeString:
    """About WIDTH characters of `text` as HTML: where most of the wanted words are, else its beginning."""
    text = " ".join(text.split())
    start = _best_start(text, wanted) if wanted else 0
    end = min(len(text), start + WIDTH)
    if end < len(text):
        end = text.rfind(" ", start, end) if " " in text[start:end] else end
    return format_html("{}{}{}", "… " * (start > 0), marked(text[start:end], wanted), " …" * (end < len(text)))


def marked(text: str, wanted: re.Pattern[str] | None) -> SafeString:
    """`text` as HTML, escaped, with the wanted words in <mark>."""
    if wanted is None:
        return format_html("{}", text)
    parts, position = [], 0
    for match in wanted.finditer(text):
        parts.append((text[position : match.start()], mark_safe("<mark>"), match[0], mark_safe("</mark>")))
        position = match.end()
    return format_html_join("", "{}{}{}{}", [*parts, (text[position:], "", "", "")])


def _stem(word: str) -> str:
    stem = ENDINGS.sub("", word)
    doubled = stem != word and not word.endswith("s") and stem[-1] == stem[-2] and stem[-1] not in "lsz"
    return stem[:-1] if doubled else stem


def _best_start(text: str, wanted: re.Pattern[str]) -> int:
    """Where the window begins that holds the most different words, and of those the most words."""
    found = [(match.start(), match["stem"].lower()) for match in islice(wanted.finditer(text), MAX_MATCHES)]
    if not found or len(text) <= WIDTH:
        return 0
    windows = [[stem for at, stem in found if first <= at < first + WIDTH - LEAD] for first, _ in found]
    best = max(range(len(found)), key=lambda index: (len(set(windows[index])), len(windows[index]), -index))
    start = max(0, found[best][0] - LEAD)
    return text.find(" ", start, found[best][0] + 1) + 1 if start else 0
