"""The operator's stories, with a real worker: what is wrong, what to do about it, and that it helps."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from embeddings import batch
from embeddings.admin import overview, refreshing
from project.content.models import Article
from tests.browser.conftest import OpenPage
from tests.browser.console import OUTAGE, OVERVIEW, Clicks, fail_for_three_reasons, make_articles, make_completed
from tests.integration.conftest import Workers, counts, dummy, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

WIDE = {"viewport": {"width": 1200, "height": 900}}


@pytest.fixture
def ada() -> User:
    """The operator, who may do everything."""
    return User.objects.create_superuser("ada")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages load themselves anew every second."""
    monkeypatch.setattr(overview, "SECONDS", 1)
    monkeypatch.setattr(refreshing, "SECONDS", 1)


def sentence(page: Page):
    """What the overview says first."""
    return page.locator(".embeddings-condition h2")


def test_failures__of_20_000_the_500_of_one_cause_are_found_and_retried(open_page: OpenPage, ada, worker: Workers):
    in_outage = fail_for_three_reasons()
    make_completed(19_460)
    worker.started()
    click = Clicks()

    page = open_page(OVERVIEW, ada, **WIDE)
    expect(sentence(page)).to_contain_text("540 tasks have failed for good")
    expect(page.get_by_role("region", name="Failures").get_by_role("row").nth(1)).to_contain_text(OUTAGE)
    click.on(page.get_by_role("link", name="Look at the failures"))
    group = page.locator(".embeddings-group").filter(has_text=OUTAGE)
    expect(group).to_contain_text("HTTP 503")
    click.on(group.get_by_role("link", name="Retry these 500"))
    click.on(page.get_by_role("button", name="Yes, retry 500 tasks"))

    expect(page.locator(".field-result")).to_contain_text("500 of 500 retried")
    assert click.count <= 4
    wait_until(lambda: counts() == {"completed": 19_960, "failed": 40})
    embedded = Article.objects.filter(embedding__isnull=False).values_list("pk", flat=True)
    assert set(embedded) == {article.pk for article in in_outage}


def test_pause__of_a_provider_holds_the_queue_until_it_is_resumed(open_page: OpenPage, ada, worker: Workers):
    worker.started()

    page = open_page(OVERVIEW, ada, **WIDE)
    page.locator("#ov-pauses-all").click()
    page.get_by_role("link", name="Pause…").click()
    page.get_by_label("Pause:").select_option("provider default")
    page.get_by_label("Reason:").fill("The key is being changed")
    page.get_by_label("at this time:").check()
    page.get_by_label("Time at which it ends").fill("2099-12-31T18:00")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("what is saved from now on will wait until")).to_be_visible()
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("Provider default is paused.")
    page.goto(OVERVIEW)
    expect(sentence(page)).to_contain_text("Provider default was paused by ada")
    expect(sentence(page)).to_contain_text("until Dec 31, 18:00: The key is being changed.")
    page.wait_for_timeout(1_500)  # A worker may remember for a second that nothing was paused.
    make_articles(3)

    page.wait_for_timeout(2_500)  # Two sweeps of the worker.
    assert counts() == {"pending": 3}
    page.get_by_role("link", name="Resume provider default").click()
    expect(page.locator(".field-held")).to_have_text("3")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".messagelist")).to_contain_text("Provider default goes on.")
    wait_until(lambda: counts() == {"completed": 3})
    page.goto(OVERVIEW)
    expect(sentence(page)).not_to_contain_text("paused")


def test_batch__is_watched_until_it_is_done(open_page: OpenPage, ada, worker: Workers):
    with batch("catalogue of spring") as made:
        make_articles(30)

    page = open_page(f"/admin/embeddings/embeddingbatch/{made.pk}/change/", ada, **WIDE)
    progress = page.locator(".field-progress_bar")
    expect(progress).to_contain_text("0%, time left unknown")
    worker.start(embeddings={"BATCH_SIZE": 1, "CONCURRENCY": 1}, providers=dummy(LATENCY_SECONDS=0.25))

    expect(progress).to_contain_text(re.compile(r"[1-9]\d?%, about \d+ s left"), timeout=30_000)
    expect(progress).to_have_text(re.compile(r"100%\s*$"), timeout=30_000)
    expect(page.locator(".field-counts")).to_contain_text("30 done")
    expect(page.locator(".field-finished_at")).to_contain_text("ago")


def test_settings__a_larger_quota_is_in_force_within_seconds(open_page: OpenPage, ada, worker: Workers, settings):
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "REQUESTS_PER_MINUTE": 1}}
    make_articles(9)
    worker.start(embeddings={"BATCH_SIZE": 3}, providers=settings.EMBEDDING_PROVIDERS)
    wait_until(lambda: counts().get("completed") == 3 and counts().get("rate_limited"), seconds=60)

    page = open_page(OVERVIEW, ada, **WIDE)
    expect(sentence(page)).to_contain_text("used up its quota")
    page.goto("/admin/embeddings/livesettings/")
    page.get_by_label("Requests per minute:").fill("600")
    page.get_by_role("button", name="Save").click()

    expect(page.locator(".messagelist")).to_contain_text("Saved, and in force everywhere within seconds.")
    wait_until(lambda: counts() == {"completed": 9}, seconds=5)
    page.goto("/admin/embeddings/auditevent/?kind__exact=settings")
    entry = page.locator("#result_list tbody tr")
    expect(entry).to_contain_text("Requests per minute of provider default: 1 (default) → 600.")
    expect(entry).to_contain_text("by ada")
