"""Pieces of HTML that several pages show."""

from __future__ import annotations

import math
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from embeddings.durations import duration as duration

ERROR_CHARACTERS = 80
NONE = "-"


def pill(value: str, label: str) -> SafeString:
    """A word on a coloured ground; the colour (admin.css) only repeats what the word says."""
    return format_html('<span class="embeddings-pill embeddings-{}">{}</span>', value, label)


def progress_bar(done: int, total: int) -> str:
    """A bar and its percentage."""
    if not total:
        return NONE
    bar = '<span class="embeddings-one-line"><progress max="{}" value="{}"></progress> {}%</span>'
    return format_html(bar, total, done, 100 * done // total)


def shortened(text: str) -> str:
    """The first words of an error message on one line, cut to the width there is; pointed at, it shows all of it."""
    first = Truncator(" ".join(text.split())).chars(ERROR_CHARACTERS)
    return format_html('<span title="{}">{}</span>', text, first) if text else NONE


def left(eta_seconds: float | None) -> str:
    """How long something will still take: ", about 3 min left"."""
    return ", time left unknown" if eta_seconds is None else f", about {duration(eta_seconds)} left"


def age(moment: datetime) -> str:
    """How long ago something was, as a duration."""
    return duration((timezone.now() - moment).total_seconds())


def ahead(moment: datetime) -> str:
    """When something will be: "in 12 min", "at 18:00", "on Jan 31, 18:00"; with all of it for whoever points at it."""
    local, now = timezone.localtime(moment), timezone.localtime()
    seconds = (moment - now).total_seconds()
    if seconds < 3_600:
        said = f"in {duration(math.ceil(seconds))}"
    else:
        said = f"{local:at %H:%M}" if local.date() == now.date() else f"on {date_format(local, 'M j')}, {local:%H:%M}"
    exact = date_format(local, "DATETIME_FORMAT")
    return format_html(
        '<time class="embeddings-one-line" datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, said
    )


def ago(moment: datetime | None) -> str:
    """The age, with the time itself for whoever points at it."""
    return NONE if moment is None else _time(moment, f"{age(moment)} ago")


def exact(moment: datetime) -> str:
    """A time as the site writes it, in its time zone."""
    return date_format(timezone.localtime(moment), "DATETIME_FORMAT")


def since(moment: datetime) -> str:
    """As `ago`, of what still lasts: "4 min"."""
    return _time(moment, age(moment))


def _time(moment: datetime, text: str) -> str:
    exact = date_format(timezone.localtime(moment), "DATETIME_FORMAT")
    html = '<time class="embeddings-one-line" datetime="{}" title="{}">{}</time>'
    return format_html(html, moment.isoformat(), exact, text)
