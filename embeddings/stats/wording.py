"""Numbers and times of a situation, as parts of sentences."""

from __future__ import annotations

import math
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format

from embeddings.durations import duration
from embeddings.models import Pause
from embeddings.stats.situation import Situation

MOST_CHARACTERS = 160


def counted(count: int, now: Situation, one: str, many: str = "") -> str:
    """ "3,412 tasks wait": with "about" where the count is an estimate."""
    about = "about " if now.counts.is_estimate else ""
    return f"{about}{count:,} {one if count == 1 else many or one}"


def waiting(now: Situation) -> str:
    """ "3,412 tasks wait", or those in hand where none does."""
    if not now.waiting and now.in_hand:
        return counted(now.in_hand, now, "task is in hand", "tasks are in hand")
    return counted(now.waiting, now, "task waits", "tasks wait") if now.waiting else "nothing waits yet"


def left(until: datetime, now: Situation) -> str:
    """How long it is until then."""
    return duration(max(1.0, (until - now.now).total_seconds()))


def ending(pause: Pause, now: Situation) -> str:
    """When a pause is over: "for another 12 min", "until 18:00", "until Jan 31, 18:00", "until somebody resumes it"."""
    if pause.ends_at is None:
        return "until somebody resumes it"
    seconds = math.ceil((pause.ends_at - now.now).total_seconds())
    if seconds < 3_600:
        return f"for another {duration(max(1, seconds))}"
    end, today = timezone.localtime(pause.ends_at), timezone.localtime(now.now).date()
    return f"until {end:%H:%M}" if end.date() == today else f"until {date_format(end, 'M j')}, {end:%H:%M}"


def shortened(text: str) -> str:
    """The beginning of an error message or a reason, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"
