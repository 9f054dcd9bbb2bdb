"""Pages of tasks: complete, in the order of an index, and no slower where the table is longer."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from embeddings.api import task_pages
from embeddings.models import EmbeddingTask, Status
from tests.integration import sessions
from tests.integration.api_clients import API, NO_PAGE, VIEW, get, problem
from tests.ledger_rows import make_task
from tests.testapp.models import Memo, Post, Word

pytestmark = pytest.mark.django_db

TASKS = 30_000
MOST_ROWS = 2_500


def ids(page: dict[str, Any]) -> list[int]:
    return [task["id"] for task in page["results"]]


def turned(client: Any, **parameters: Any) -> list[list[int]]:
    """The ids of each page to the last, and back again to the first."""
    page = get(client, "tasks/", **parameters)
    pages = [ids(page)]
    for way in ("next", "previous"):
        while page[way]:
            page = client.get(page[way]).json()["data"]
            pages.append(ids(page))
    return pages


def test_pages__of_a_model_are_by_key(api):
    made = [make_task(model=model, object_id=key) for model in (Word, Memo) for key in ("b", "a", "d", "c", "e")]
    of_words = sorted(made[:5], key=lambda task: task.object_id)
    expected = [task.pk for task in of_words]

    pages = turned(api(VIEW), model="testapp.word", page_size=2)

    assert pages == [expected[:2], expected[2:4], expected[4:], expected[2:4], expected[:2]]


def test_pages__of_a_field_go_from_model_to_model(api):
    made = [make_task(model=model, object_id=key) for model in (Word, Memo, Post) for key in ("2", "10", "1")]
    expected = [task.pk for task in sorted(made, key=lambda task: (task.content_type_id, task.object_id))]

    pages = turned(api(VIEW), field="embedding", page_size=4)

    assert pages == [expected[:4], expected[4:8], expected[8:], expected[4:8], expected[:4]]


@pytest.mark.parametrize("parameters", [{}, {"model": "testapp.post"}])
def test_pages__of_several_statuses_are_merged(api, parameters):
    made = [make_task(status).pk for _ in range(3) for status in (Status.FAILED, Status.COMPLETED, Status.PENDING)]
    wanted = [pk for number, pk in enumerate(made) if number % 3 != 1]
    expected = wanted if parameters else wanted[::-1]

    pages = turned(api(VIEW), status=["pending", "failed"], page_size=4, **parameters)

    assert pages == [expected[:4], expected[4:], expected[:4]]


def test_pages__do_not_shift_while_tasks_come_and_go(api):
    made = [make_task().pk for _ in range(6)][::-1]
    client = api(VIEW)
    first = get(client, "tasks/", page_size=2)
    make_task()
    EmbeddingTask.objects.filter(pk=made[1]).delete()

    second = client.get(first["next"]).json()["data"]

    assert ids(second) == made[2:4]


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "é",
        base64.b64encode(b"[" * 100_000).decode(),
        *(
            base64.b64encode(json.dumps(value).encode()).decode()
            for value in (7, [False], [False, 7], [False, ["7"]], [False, [2**70]], [False, [-1]], [False, [True]])
        ),
    ],
)
def test_pages__refuse_a_cursor_that_is_none(api, cursor):
    assert problem(api(VIEW).get(f"{API}tasks/", {"cursor": cursor}), 404) == ("not_found", NO_PAGE)


@pytest.mark.parametrize("position", [[1, "a\0", "f"], [1, "\ud800", "f"], [1, "a"], [7]])
def test_pages__refuse_a_cursor_of_another_order(api, position):
    cursor = base64.b64encode(json.dumps([False, position]).encode()).decode()
    response = api(VIEW).get(f"{API}tasks/", {"cursor": cursor, "model": "testapp.post"})

    assert problem(response, 404) == ("not_found", NO_PAGE)


def test_pages__that_take_too_long_say_what_to_add(api, monkeypatch):
    monkeypatch.setattr(task_pages, "SECONDS", 0.1)
    client = api(VIEW)

    with sessions.session() as other, other.transaction():
        other.execute("LOCK TABLE embeddings_embeddingtask")
        response = client.get(f"{API}tasks/")

    assert problem(response, 503) == ("too_slow", task_pages.TOO_MANY)
    assert get(client, "tasks/")["results"] == []
