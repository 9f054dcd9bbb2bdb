"""The overview in a browser: it keeps itself current without getting in the way, on any screen, in either theme."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.utils import timezone
from playwright.sync_api import Page, expect

from embeddings.admin import overview
from embeddings.models import Alert, EmbeddingOperation, Pause, ProviderState, Status, TargetMinute, WorkerStatus
from tests.browser.conftest import CONTRAST, OpenPage
from tests.ledger_rows import make_task

pytestmark = pytest.mark.django_db(transaction=True)

OVERVIEW = "/admin/embeddings/overview/"
HIDDEN = "Object.defineProperty(document, 'hidden', {get: () => window.isHidden ?? false})"


@pytest.fixture
def administrator() -> User:
    return User.objects.create_superuser("admin")


@pytest.fixture
def every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "SECONDS", 1)


def sentence(page: Page):
    return page.locator(".embeddings-condition h2")


def requests_of(page: Page) -> list[str]:
    """The addresses asked for from now on."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


def test_overview__keeps_itself_current(open_page: OpenPage, administrator, every_second):
    page = open_page(OVERVIEW, administrator, viewport={"width": 1000, "height": 500})
    expect(sentence(page)).to_contain_text("No worker is alive")
    page.locator("#ov-form").focus()
    scrolled = page.evaluate("window.scrollY")

    make_task()

    expect(sentence(page)).to_have_text("Nothing is working: no worker is alive, and 1 task waits.")
    expect(page.locator("#ov-form")).to_be_focused()
    assert page.evaluate("window.scrollY") == scrolled > 0
    make_task()
    expect(sentence(page)).to_contain_text("2 tasks wait")  # it goes on doing so


def test_overview__rests_while_nobody_sees_it(open_page: OpenPage, administrator, every_second):
    page = open_page("/admin/", administrator)
    page.add_init_script(HIDDEN)
    page.goto(OVERVIEW)
    page.evaluate("window.isHidden = true")
    asked = requests_of(page)

    page.wait_for_timeout(1_500)
    assert asked == []

    page.evaluate("window.isHidden = false")
    make_task()
    expect(sentence(page)).to_contain_text("1 task waits")


def test_overview__stops_when_asked(open_page: OpenPage, administrator, every_second):
    page = open_page(f"{OVERVIEW}?hours=24", administrator)

    page.get_by_role("link", name="Stop that").click()
    expect(page.get_by_text("It does not load itself anew.")).to_be_visible()
    asked = requests_of(page)
    page.wait_for_timeout(1_500)

    assert asked == []
    assert page.url.endswith("?hours=24&refresh=off")


def test_overview__asks_to_log_in_when_the_session_is_over(open_page: OpenPage, administrator, every_second):
    page = open_page(OVERVIEW, administrator)

    Session.objects.all().delete()

    expect(page.locator("#id_username")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_overview__can_be_read(open_page: OpenPage, administrator, redis_client, theme, width):
    _much_is_wrong()

    page = open_page(OVERVIEW, administrator, color_scheme=theme, viewport={"width": width, "height": 900})

    expect(page.locator(".embeddings-numbers")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    live = page.locator("#embeddings-live").inner_text()
    assert [poor for poor in page.evaluate(CONTRAST) if poor.partition(" ")[2] in live] == []


def _much_is_wrong() -> None:
    now = timezone.now()
    for status in Status.values:
        make_task(status)
    for number in range(3):
        heard_of = now - timedelta(seconds=40 * (number == 2))
        WorkerStatus.objects.create(name=f"worker-{number}.example", started_at=heard_of, heartbeat_at=heard_of)
    soon = now + timedelta(minutes=3)
    ProviderState.objects.create(
        alias="default",
        blocked_reason="circuit",
        blocked_until=soon,
        failures_in_a_row=7,
        last_error="No answer. " * 30,
    )
    Pause.objects.create(kind="target", name="testapp.memo.embedding", reason="It is being moved", by="ada")
    EmbeddingOperation.objects.create(kind="requeue", target="testapp.post", rows_total=200, rows_read=50, by="ada")
    Alert.objects.create(kind="provider", subject="default", message="It failed.")
    minute = now.replace(second=0, microsecond=0) - timedelta(minutes=5)
    TargetMinute.objects.create(target="testapp.post.embedding", minute=minute, completed=120, failed=3)
