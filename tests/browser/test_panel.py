"""An object's embedding on its own admin page, as an editor and an operator use it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from embeddings.models import EmbeddingTask, Status
from project.content.models import Article
from tests.browser.test_admin import COLOURS_OF_PILLS, READABLE, contrast

pytestmark = pytest.mark.django_db(transaction=True)


def test_panel__leads_from_a_failure_to_its_history_and_to_a_new_attempt(operator_page):
    article = Article.objects.create(slug="a", title="A story", content="Once upon a time.")
    EmbeddingTask.objects.update(status=Status.FAILED, error_kind="input", error_message="The text was refused.")
    page: Page = operator_page()

    page.goto(f"/admin/content/article/{article.pk}/change/")
    panel = page.locator(".embeddings-panel")
    expect(panel).to_contain_text("The text was refused.")
    panel.get_by_role("link", name="Embed again").click()
    page.get_by_role("button", name="Yes, embed again").click()

    expect(page.locator(".messagelist")).to_contain_text("A story will be embedded again, ahead of everything else.")
    expect(panel.locator(".embeddings-pill")).to_have_text("pending")
    panel.get_by_role("link", name="History").click()
    expect(page.get_by_role("row").filter(has_text="Embedded again.")).to_contain_text("admin")
    page.get_by_role("link", name="A story").first.click()
    expect(panel).to_be_visible()


def test_panel__leaves_the_enter_key_to_saving(operator_page):
    article = Article.objects.create(slug="a", title="A story", content="Once upon a time.")
    page: Page = operator_page()

    page.goto(f"/admin/content/article/{article.pk}/change/")
    page.get_by_label("Title:").fill("Another story")
    page.get_by_label("Title:").press("Enter")

    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    article.refresh_from_db()
    assert article.title == "Another story"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_panel__can_be_read_and_fits_a_narrow_screen(operator_page, theme):
    article = Article.objects.create(slug="a", title="A story")
    message = "unbreakable" * 40
    EmbeddingTask.objects.update(status=Status.FAILED, error_kind="input", error_message=message)
    page: Page = operator_page(theme)
    page.set_viewport_size({"width": 390, "height": 844})

    for path in (
        f"content/article/{article.pk}/change/",
        f"embeddings/embeddingtask/{EmbeddingTask.objects.get().pk}/change/",
    ):
        page.goto(f"/admin/{path}")
        pills = page.locator(".embeddings-pill").evaluate_all(COLOURS_OF_PILLS)

        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert pills and all(contrast(text, ground) >= READABLE for _, text, ground in pills)
