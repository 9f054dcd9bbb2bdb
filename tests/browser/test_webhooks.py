"""Webhooks in the admin: an endpoint is added, tried, breaks, is mended, and gets what it has missed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from embeddings import batch
from embeddings.models import WebhookDelivery, WebhookEndpoint
from tests.browser.conftest import OpenPage, Picture
from tests.browser.console import make_articles
from tests.integration.conftest import Workers, wait_until
from tests.webhook_receiver import Receiver, receiving

pytestmark = pytest.mark.django_db(transaction=True)

ENDPOINTS = "/admin/embeddings/webhookendpoint/"
DELIVERIES = "/admin/embeddings/webhookdelivery/"
OWN_NETWORK = {"WEBHOOK_PRIVATE_ADDRESSES": True, "WEBHOOK_COLLAPSE_SECONDS": 0}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def test_endpoint__from_the_first_message_to_the_last(
    open_page: OpenPage, settings, worker: Workers, receiver: Receiver, picture: Picture
):
    settings.EMBEDDINGS = {}
    page = open_page(ENDPOINTS, User.objects.create_superuser("ada"), viewport={"width": 1200, "height": 480})
    page.evaluate("localStorage.setItem('django.admin.navSidebarIsOpen', 'false')")

    # An address in the own network is refused, in words that say what would allow it.
    page.get_by_role("link", name="Add webhook endpoint").click()
    page.wait_for_load_state()  # The page gives the first field the focus then, whoever is typing.
    page.get_by_label("Name:").fill("shop")
    page.get_by_label("Address:").fill(receiver.url)
    page.get_by_label("task.completed").check()
    page.get_by_label("batch.finished").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".errorlist")).to_contain_text('Set EMBEDDINGS["WEBHOOK_PRIVATE_ADDRESSES"] to True')

    # Allowed, it is taken with all that was typed, and its secret is shown this once.
    settings.EMBEDDINGS = OWN_NETWORK
    page.get_by_role("button", name="Save", exact=True).click()
    receiver.secrets.append(page.get_by_label("Secret").inner_text())
    page.get_by_role("link", name="I have copied it").click()
    expect(page.locator("body")).not_to_contain_text(receiver.secrets[0])

    # A test message, and a real one.
    worker.started(embeddings=OWN_NETWORK)
    page.get_by_role("button", name="Send a test message").click()
    wait_until(lambda: receiver.kinds() == ["webhook.test"])
    with batch("catalogue of spring"):
        make_articles(12)
    wait_until(lambda: len(receiver.tasks()) == 12 and "batch.finished" in receiver.kinds())
    page.goto(DELIVERIES)
    expect(page.get_by_role("row").filter(has_text="webhook.test")).to_contain_text("delivered")

    # The receiver breaks: what it answers can be read, and that it is tried again.
    receiver.answer(*[500] * 3, body=b"The disk is full.")
    page.goto(ENDPOINTS)
    page.get_by_role("link", name="shop").click()
    page.get_by_role("button", name="Send a test message").click()
    wait_until(lambda: WebhookDelivery.objects.filter(status_code=500).exists())
    expect(_reloaded(page).locator(".field-explained_state")).to_contain_text("failing")
    page.goto(DELIVERIES)
    expect(page.locator("#result_list")).to_contain_text("task.completed (12 tasks)")
    for scheme, suffix in (("dark", "-dark"), ("light", "")):
        page.emulate_media(color_scheme=scheme)
        picture(page, f"webhook-deliveries{suffix}")
    page.get_by_role("row").filter(has_text="500").get_by_role("link").first.click()
    expect(page.locator("#content")).to_contain_text("The disk is full.")
    expect(page.locator(".field-explained")).to_contain_text(re.compile("It is sent again in"))

    # Disabled, it gets nothing; enabled again, what it has missed, with the same id.
    _set_enabled(page, False)
    expect(page.get_by_role("row").filter(has_text="shop")).to_contain_text("disabled")
    missed = WebhookDelivery.objects.get(state="cancelled").message_id
    receiver.answers.clear()
    _set_enabled(page, True)
    page.get_by_role("link", name="send them again").click()
    page.get_by_role("button", name="Send them again").click()
    expect(page.locator(".messagelist")).to_contain_text("1 message is sent again.")
    wait_until(lambda: receiver.messages[-1].id == missed)

    # A new secret: shown once, and both are good for a day.
    page.get_by_role("link", name="New secret…").click()
    page.get_by_role("button", name="Make a new secret").click()
    expect(page.get_by_label("Secret")).not_to_have_text(receiver.secrets[0])
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("button", name="Send a test message").click()
    wait_until(lambda: len(receiver.messages[-1].headers["webhook-signature"].split()) == 2)
    assert receiver.forged == 0


def _reloaded(page: Page) -> Page:
    page.reload()
    return page


def _set_enabled(page: Page, is_enabled: bool) -> None:
    page.goto(f"{ENDPOINTS}{WebhookEndpoint.objects.get().pk}/change/")
    page.get_by_label("Enabled").set_checked(is_enabled)
    page.get_by_role("button", name="Save", exact=True).click()
