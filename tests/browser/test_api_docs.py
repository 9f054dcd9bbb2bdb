from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from embeddings.models import Status
from tests.ledger_rows import make_task

pytestmark = pytest.mark.django_db(transaction=True)


def test_docs__try_a_request_out_without_another_host(operator_page, live_server):
    task = make_task(Status.FAILED)
    page: Page = operator_page()
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))

    page.goto("/api/docs/")
    page.locator("#operations-embeddings-embeddings_tasks_retry").get_by_role("button").first.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_placeholder("task_id").fill(str(task.pk))
    page.get_by_role("button", name="Execute").click()

    expect(page.locator(".live-responses-table")).to_contain_text('"status": "pending"')
    assert hosts - {""} == {urlsplit(live_server.url).netloc}


def test_docs__pause_and_resume_a_provider(operator_page):
    page: Page = operator_page()

    page.goto("/api/docs/")
    pause = page.locator("#operations-embeddings-embeddings_providers_pause")
    pause.get_by_role("button").first.click()
    pause.get_by_role("button", name="Try it out").click()
    pause.get_by_placeholder("alias").fill("default")
    # What stands there is an example: its end has passed.
    pause.locator("textarea").fill('{"reason": "the key is being changed"}')
    pause.get_by_role("button", name="Execute").click()
    expect(pause.locator(".live-responses-table")).to_contain_text('"state": "paused"')

    resume = page.locator("#operations-embeddings-embeddings_providers_resume")
    resume.get_by_role("button").first.click()
    resume.get_by_role("button", name="Try it out").click()
    resume.get_by_placeholder("alias").fill("default")
    resume.get_by_role("button", name="Execute").click()

    expect(resume.locator(".live-responses-table")).to_contain_text('"liftedPause": true')


@pytest.mark.parametrize("name", ["health", "stats", "metrics", "workers", "settings", "alerts_list", "pauses_list"])
def test_docs__show_an_example_of_each_answer(operator_page, name):
    page: Page = operator_page()

    page.goto("/api/docs/")
    operation = page.locator(f"#operations-embeddings-embeddings_{name}")
    operation.get_by_role("button").first.click()

    expect(operation.locator(".example").first).to_contain_text('"success": true')
