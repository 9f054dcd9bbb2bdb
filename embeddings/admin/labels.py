"""Pieces of HTML that several pages show."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.timesince import timesince

ERROR_CHARACTERS = 80


def pill(value: str, label: str) -> SafeString:
    """A word on a coloured ground; the colour (admin.css) only repeats what the word says."""
    return format_html('<span class="embeddings-pill embeddings-{}">{}</span>', value, label)


def progress_bar(done: int, total: int) -> SafeString:
    """A bar and its percentage; nothing to do counts as done."""
    percent = 100 * done // total if total else 100
    return format_html(
        '<progress class="embeddings-progress" max="{}" value="{}"></progress> {}%', max(total, 1), done, percent
    )


def shortened(text: str) -> str:
    """The first words of an error message, on one line."""
    return Truncator(" ".join(text.split())).chars(ERROR_CHARACTERS)


def ago(moment: datetime) -> str:
    """ "12 seconds", "3 minutes": how long ago something was."""
    seconds = max(0, int((timezone.now() - moment).total_seconds()))
    if seconds < 60:
        return f"{seconds} second" if seconds == 1 else f"{seconds} seconds"
    return timesince(moment, depth=1)
