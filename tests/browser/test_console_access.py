"""Who may only look: every page is open to them, and nothing that they send changes anything."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from playwright.sync_api import Page, expect

from embeddings.models import (
    EmbeddingBatch,
    EmbeddingOperation,
    EmbeddingTask,
    LiveSettings,
    Pause,
    ProviderState,
    Status,
)
from project.content.models import Article
from tests.browser.conftest import OpenPage
from tests.browser.console import EVERYTHING, address, make_everything
from tests.ledger_rows import make_task
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "The patient was told on Tuesday."
# All that a page offers in its middle, but for searching, and the links of the stock admin.
OFFERED = "#content :is(button, input[type=submit], .button, .object-tools a, select[name=action])"
SEND = """async ([address, values]) => {
    const token = document.cookie.match(/csrftoken=(\\w+)/)[1];
    const body = new URLSearchParams({...values, csrfmiddlewaretoken: token});
    return (await fetch(address, {method: "POST", body, redirect: "manual"})).status;
}"""
WATCHED = [Article, EmbeddingBatch, EmbeddingOperation, EmbeddingTask, LiveSettings, Pause, ProviderState]


@pytest.fixture
def looker() -> User:
    """Somebody who may view everything of the embeddings, and the articles."""
    user = User.objects.create_user("lou", is_staff=True)
    embeddings = Permission.objects.filter(content_type__app_label="embeddings", codename__startswith="view_")
    user.user_permissions.set([*embeddings, Permission.objects.get(codename="view_article")])
    return user


@pytest.fixture
def stranger() -> User:
    """A member of staff without any permission."""
    return User.objects.create_user("sam", is_staff=True)


def state() -> list[object]:
    """All rows that somebody could change."""
    return [list(model.objects.order_by("pk").values()) for model in WATCHED] + [LogEntry.objects.count()]


def offered(page: Page) -> list[str]:
    """The labels of what could be pressed."""
    texts = page.locator(OFFERED).evaluate_all("all => all.map(one => one.value || one.textContent.trim())")
    return [text for text in texts if text not in {"Search", "History", "View on site"}]


def test_pages__show_a_looker_everything_and_offer_nothing(open_page: OpenPage, looker, redis_client):
    make_everything()
    page = open_page("/admin/", looker)

    found = {}
    for name, path in EVERYTHING.items():
        response = page.goto(address(path))
        found[name] = (response.status, offered(page))

    assert found == dict.fromkeys(EVERYTHING, (200, []))


def test_pages__refuse_who_may_view_nothing(open_page: OpenPage, stranger, redis_client):
    make_everything()
    page = open_page("/admin/", stranger, refused=True)

    found = {name: page.goto(address(path)).status for name, path in EVERYTHING.items()}

    assert found == dict.fromkeys(EVERYTHING, 403)


def test_posts__of_a_looker_change_nothing(open_page: OpenPage, looker, redis_client):
    make_everything()
    failed, pause = EmbeddingTask.objects.filter(status=Status.FAILED).first(), Pause.objects.first()
    operation, group = EmbeddingOperation.objects.first(), EmbeddingBatch.objects.first()
    token = "5f0c2d0e-4b5b-4f3c-8c39-c0de00000000"
    ticked = {"_selected_action": str(failed.pk), "index": "0"}
    verbs = ("retry", "cancel", "clear")
    crafted = [
        *(("embeddingtask/", {"action": f"{verb}_tasks", **ticked}) for verb in verbs),
        *((f"embeddingtask/bulk/{verb}/", {"token": token}) for verb in verbs),
        *((f"embeddingtask/{failed.pk}/change/", {"_action": f"{verb}_tasks"}) for verb in verbs),
        (f"embeddingtask/{failed.pk}/change/", {"status": "pending", "_save": "1"}),
        (f"embeddingtask/{failed.pk}/delete/", {"post": "yes"}),
        ("embeddingtask/", {"action": "delete_selected", "post": "yes", **ticked}),
        (f"embeddingbatch/{group.pk}/change/", {"_action": "retry_failed"}),
        ("embeddingbatch/", {"action": "retry_failed", "_selected_action": str(group.pk), "index": "0"}),
        ("embeddingoperation/begin/requeue/?target=content.article.embedding", {"conditions": "missing"}),
        ("embeddingoperation/begin/regenerate/?target=content.article.embedding", {"priority": "low", "token": token}),
        (f"embeddingoperation/{operation.pk}/change/", {"_action": "stop_operations"}),
        ("embeddingoperation/", {"action": "stop_operations", "_selected_action": str(operation.pk), "index": "0"}),
        ("pause/pause/", {"what": "everything:", "reason": "Because", "ends": "1h", "_confirmed": "1"}),
        (f"pause/{pause.pk}/resume/", {}),
        (f"pause/{pause.pk}/change/", {"_action": "resume_pauses"}),
        ("pause/", {"action": "resume_pauses", "_selected_action": str(pause.pk), "index": "0"}),
        ("providerstate/default/change/", {"_action": "resume_providers"}),
        ("providerstate/", {"action": "resume_providers", "_selected_action": "default", "index": "0"}),
        ("livesettings/1/change/", {"batch_size": "7", "seen_at": ""}),
        ("auditevent/add/", {"message": "Nothing happened."}),
        ("workerstatus/add/", {"name": "worker"}),
        (f"/admin/content/article/{Article.objects.first().pk}/embed-again/embedding/", {}),
        (f"/admin/content/article/{Article.objects.first().pk}/change/", {"title": "Changed", "_save": "1"}),
    ]
    page = open_page(address("livesettings/1/change/"), looker, refused=True)
    before = state()

    answers = {f"{path} {values}": page.evaluate(SEND, [address(path), values]) for path, values in crafted}

    assert {sent: status for sent, status in answers.items() if status != 403} == {}
    assert state() == before


def test_box__is_shown_to_those_who_may_view_such_objects_only(open_page: OpenPage, looker, redis_client):
    payload = {"model": "testapp.post", "fields": {"title": "A note", "body": SECRET}}
    task = make_task(Status.FAILED, model=Post, payload=payload, error_signature="input: refused")
    page = open_page("/admin/", looker)
    own_page = f"embeddingtask/{task.pk}/change/"

    for path in (own_page, "embeddingtask/", "embeddingtask/?q=note", "failuregroup/", "overview/"):
        page.goto(address(path))
        assert SECRET not in page.content()
    page.goto(address(own_page))
    expect(page.locator(".field-boxed_values")).to_contain_text("Only users who may view such objects see the values.")
    looker.user_permissions.add(Permission.objects.get(codename="view_post", content_type__app_label="testapp"))
    page.reload()

    expect(page.locator(".field-boxed_values")).to_contain_text(SECRET)
