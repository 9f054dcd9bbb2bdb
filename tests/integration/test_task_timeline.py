"""The history of a task on its own page."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.test import Client
from django.utils import timezone

from embeddings.models import EmbeddingTask, Status, TaskAttempt
from tests.ledger_rows import make_task

pytestmark = pytest.mark.django_db


def attempt(task: EmbeddingTask, seconds_ago: float, **values: Any) -> TaskAttempt:
    ended_at = timezone.now() - timedelta(seconds=seconds_ago)
    given = {"outcome": "completed", "number": 1, "version": 1, "claimed_at": ended_at - timedelta(seconds=1.25)}
    return TaskAttempt.objects.create(task=task, ended_at=ended_at, **{**given, **values})


def lines(client: Client, task: EmbeddingTask) -> list[list[str]]:
    """The cells of the table as one reads them."""
    response = client.get(f"/admin/embeddings/embeddingtask/{task.pk}/change/")

    assert response.status_code == 200
    _, found, rest = response.content.decode().partition("<tbody>")
    rows = rest.partition("</tbody>")[0].split("</tr>")[:-1] if found else []
    return [[_text(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)] for row in rows]


def _text(html: str) -> str:
    return unescape(re.sub("<[^>]+>", "", html)).strip()


def test_timeline__tells_each_attempt_the_newest_first(admin_client) -> None:
    task = make_task(Status.FAILED)
    attempt(task, 300, outcome="crashed", number=1, worker="host.1")
    attempt(task, 180, outcome="failed", is_final=False, number=1, worker="host.2", error_message="<It> broke.")
    attempt(task, 60, outcome="failed", number=2, worker="host.2", tokens=0, error_message="It broke.")

    assert lines(admin_client, task) == [
        ["1 min ago", "Attempt 2", "failed It broke.", "host.2", "1.2 s", "0"],
        ["3 min ago", "Attempt 1", "failed, to be tried again <It> broke.", "host.2", "1.2 s", ""],
        ["5 min ago", "Attempt 1", "crashed", "host.1", "1.2 s", ""],
    ]


def test_timeline__tells_what_is_in_hand(admin_client) -> None:
    task = make_task(Status.PROCESSING, claimed_at=timezone.now() - timedelta(seconds=125))

    assert lines(admin_client, task) == [["2 min ago", "In hand", "processing", "host.1", "", ""]]


def test_timeline__tells_what_people_did(admin_client, admin_user) -> None:
    task = make_task(Status.PENDING)
    LogEntry.objects.log_actions(admin_user.pk, [task], CHANGE, "Retried.")

    ((_, what, _, who, *_),) = lines(admin_client, task)

    assert (what, who) == ("Retried.", "admin")


def test_timeline__of_nothing_says_so(admin_client) -> None:
    task = make_task(Status.PENDING)

    html = admin_client.get(f"/admin/embeddings/embeddingtask/{task.pk}/change/").content.decode()

    assert "Nothing is recorded: it has not been tried yet, or not in the last 7 days." in html


@pytest.mark.parametrize(("seconds", "took"), [(0.0125, "12 ms"), (59.94, "59.9 s"), (180, "3 min")])
def test_timeline__says_how_long_it_took(admin_client, seconds, took) -> None:
    task = make_task(Status.COMPLETED)
    ended = attempt(task, 0)
    TaskAttempt.objects.update(claimed_at=ended.ended_at - timedelta(seconds=seconds))

    assert lines(admin_client, task)[0][4] == took
