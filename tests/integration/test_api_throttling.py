"""Calls that ask a provider: how many a user may make in a minute."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from embeddings.providers.dummy import DummyProvider
from embeddings.quotas import local, shared
from tests.integration.api_clients import API, client_of, problem

pytestmark = pytest.mark.django_db

TEXTS = f"{API}texts/"
NOW = {"text": "words", "immediate": True}


@pytest.fixture(autouse=True)
def _two_calls_a_minute(settings: Any, redis_client: Any) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "API_CALLS_PER_MINUTE": 2}
    local.reset()


def test_throttle__refuses_the_third_call_and_says_when_to_come_again(api):
    client = api("add_directtext")

    responses = [client.post(TEXTS, NOW, format="json") for _ in range(3)]

    assert [response.status_code for response in responses] == [200, 200, 429]
    code, message = problem(responses[2], 429)
    seconds = int(responses[2].headers["Retry-After"])
    assert 1 <= seconds <= 120
    assert code == "throttled"
    assert message == f"You have made more calls than a minute allows; try again in {seconds} seconds."
    assert DummyProvider.calls == 2


def test_throttle__counts_texts_and_searches_together(api):
    client = api("add_directtext", "view_article")
    client.post(TEXTS, NOW, format="json")
    client.get(f"{API}search/?model=content.article&q=x")

    assert client.get(f"{API}search/?model=content.article&q=x").status_code == 429


def test_throttle__is_a_users_own(api):
    client, other = api("add_directtext"), client_of(User.objects.create_user("other"), "add_directtext")
    for _ in range(3):
        client.post(TEXTS, NOW, format="json")

    assert other.post(TEXTS, NOW, format="json").status_code == 200


def test_throttle__counts_no_call_of_who_may_not(api):
    for _ in range(3):
        api().post(TEXTS, NOW, format="json")

    assert api("add_directtext").post(TEXTS, NOW, format="json").status_code == 200


def test_throttle__is_shared_by_all_processes(api):
    client = api("add_directtext")
    for _ in range(2):
        client.post(TEXTS, NOW, format="json")
    shared.reset()  # as a process that has just been started
    local.reset()

    assert client.post(TEXTS, NOW, format="json").status_code == 429


def test_throttle__counts_in_this_process_while_redis_is_away(api, settings):
    settings.RQ_QUEUES = {"embeddings": {"URL": "redis://127.0.0.1:1/0", "SERIALIZER": "json"}}
    client = api("add_directtext")

    assert [client.post(TEXTS, NOW, format="json").status_code for _ in range(3)] == [200, 200, 429]


def test_throttle__of_nothing_lets_all_calls_through(api, settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "API_CALLS_PER_MINUTE": 0}
    client = api("add_directtext")

    assert {client.post(TEXTS, NOW, format="json").status_code for _ in range(5)} == {200}
