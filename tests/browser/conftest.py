"""A real browser, the system's Chromium, on a real server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
# Without the sandbox, which root cannot have, and without anything that would look for a network.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists() and not os.environ.get("CI"):
        pytest.skip(f"There is no {CHROMIUM}: install Chromium to run the browser tests.")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's event loop runs in the tests' thread, where Django would refuse its ORM.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        running = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def operator_page(browser: Browser, live_server, admin_client, redis_client) -> Iterator[Callable[[str], Page]]:
    """Open a page on which an administrator is logged in, in the "light" or "dark" theme; it must raise no errors."""
    contexts, complaints = [], []

    def open_page(theme: str = "light") -> Page:
        context = browser.new_context(base_url=live_server.url, color_scheme=theme)
        contexts.append(context)
        session = admin_client.cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(f"{request.url}: {request.failure}"))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
