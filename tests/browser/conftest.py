"""A real browser, the system's Chromium, on a real server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.integration.conftest import Workers

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
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
IMAGES = Path(__file__).parents[2] / "docs" / "images"
# What htmx logs when a newer request takes the place of one that is under way.
REPLACED = ("htmx:sendAbort", "htmx:afterRequest")

OpenPage = Callable[..., Page]
Picture = Callable[[Page, str], None]


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


@pytest.fixture
def open_page(browser: Browser, live_server) -> Iterator[OpenPage]:
    """Opens a path in a browser context with these options, logged in as `user` if that is given.

    No page may ask anything of another host, or report an error: but that requests were `refused`, where that is meant.
    """
    contexts, complaints, asked = [], [], []

    def open_(path: str = "/", user: User | None = None, refused: bool = False, **options: object) -> Page:
        contexts.append(browser.new_context(base_url=live_server.url, **options))
        if user:
            contexts[-1].add_cookies([{"name": "sessionid", "value": _session(user), "url": live_server.url}])
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if _is_error(message, refused) else None)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []
    assert {urlsplit(url).netloc for url in asked} <= {"", urlsplit(live_server.url).netloc}


@pytest.fixture
def worker(tmp_path: Path, live_server, redis_client) -> Iterator[Workers]:
    """Starts `manage.py rqworker` processes that work for the server of the test."""
    running = Workers(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    """Takes a picture of what a page shows, for docs/images with `WRITE_IMAGES=1 make test ARGS=tests/browser`."""
    folder = IMAGES if os.environ.get("WRITE_IMAGES") else tmp_path

    def take(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png", animations="disabled")

    return take


def _session(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


def _is_error(message: ConsoleMessage, refused: bool) -> bool:
    is_meant = message.text.startswith(REPLACED) or (refused and "403" in message.text)
    # The stock admin has no icon, and browsers ask for one.
    is_meant |= message.location["url"].endswith("/favicon.ico")
    return message.type == "error" and not is_meant
