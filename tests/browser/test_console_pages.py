"""The console's pages for everybody: without scripts, by keyboard, on a narrow screen, in either theme."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from embeddings.admin import overview
from embeddings.models import EmbeddingTask, Status, WorkerStatus
from tests.browser.conftest import CONTRAST, OpenPage
from tests.browser.console import EVERYTHING, OVERVIEW, address, fail_for_three_reasons, make_everything
from tests.integration.conftest import Workers

pytestmark = pytest.mark.django_db(transaction=True)

ASKING = {
    "a question about a group": "embeddingtask/bulk/retry/?status__exact=failed",
    "a dangerous question": "embeddingtask/bulk/clear/?status__exact=failed",
    "which target": "embeddingoperation/begin/requeue/",
    "what to queue": "embeddingoperation/begin/requeue/?target=content.article.embedding",
    "all vectors anew": "embeddingoperation/begin/regenerate/?target=content.article.embedding",
    "what to pause": "pause/pause/",
    "embed again": "/admin/content/article/{article}/embed-again/embedding/",
    "all apps": "/admin/",
    "the app": "/admin/embeddings/",
}
PAGES = {**EVERYTHING, **ASKING}


@pytest.fixture
def ada() -> User:
    return User.objects.create_superuser("ada")


def test_overview__says_by_itself_that_the_last_worker_has_died(open_page: OpenPage, ada, worker: Workers, monkeypatch):
    monkeypatch.setattr(overview, "SECONDS", 1)
    # Else it takes half a minute until a worker is missed.
    monkeypatch.setattr(import_module("embeddings.stats.workforce"), "ALIVE_SECONDS", 6)
    process = worker.started()
    page = open_page(OVERVIEW, ada, viewport={"width": 1000, "height": 500})
    expect(page.locator("#ov-workers")).to_contain_text("1 alive")
    page.locator("#ov-form").focus()
    scrolled = page.evaluate("window.scrollY")

    process.kill()

    said = page.locator(".embeddings-condition h2")
    expect(said).to_contain_text("No worker is alive", timeout=20_000)
    expect(page.locator(".embeddings-condition")).to_contain_text("manage.py rqworker embeddings")
    expect(page.locator("#ov-form")).to_be_focused()
    assert page.evaluate("window.scrollY") == scrolled > 0


def test_failures__are_retried_without_scripts(open_page: OpenPage, ada, redis_client):
    fail_for_three_reasons()

    page = open_page(OVERVIEW, ada, java_script_enabled=False)
    expect(page.locator(".embeddings-chart").first).to_be_visible()
    page.get_by_role("link", name="Retry the 500 tasks").click()
    page.get_by_role("button", name="Yes, retry 500 tasks").click()

    expect(page.locator(".field-explained_state")).to_contain_text("waiting")


def test_failures__are_retried_by_keyboard_alone(open_page: OpenPage, ada, redis_client):
    fail_for_three_reasons()

    page = open_page(f"{OVERVIEW}?refresh=off", ada)
    reach(page, "Retry the 500 tasks that failed with TransientError 503")
    expect(page.locator(":focus")).to_have_css("text-decoration-line", "underline")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Retry all that match")
    reach(page, "Yes, retry 500 tasks")
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(r"/embeddingoperation/\d+/change/"))


def reach(page: Page, name: str) -> None:
    """Press Tab until what has this name has the focus."""
    for _ in range(150):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "() => { const e = document.activeElement; return e.ariaLabel || e.value || e.textContent.trim(); }"
        )
        if focused == name:
            return
    raise AssertionError(f"The Tab key does not reach {name!r}.")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages__can_be_read_on_a_telephone(open_page: OpenPage, ada, redis_client, theme):
    make_everything()
    EmbeddingTask.objects.filter(status=Status.FAILED).update(error_message="unbreakable" * 40)
    WorkerStatus.objects.filter(pk=WorkerStatus.objects.earliest("pk").pk).update(last_error="No answer. " * 40)
    page = open_page("/admin/", ada, color_scheme=theme, viewport={"width": 390, "height": 844})

    too_wide, poor = {}, {}
    for name, path in PAGES.items():
        assert page.goto(address(path)).status == 200
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 390:
            too_wide[name] = width
        if found := page.evaluate(CONTRAST, "#content"):  # All around it is the stock admin's.
            poor[name] = found

    assert (too_wide, poor) == ({}, {})
