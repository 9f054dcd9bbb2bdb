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
