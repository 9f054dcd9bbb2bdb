"""What an operator does and sees in the admin."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from embeddings.models import EmbeddingTask, Status
from tests.ledger_rows import make_task

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/embeddings/embeddingtask/"
# The least that people with weak sight can read (WCAG 2.2, 1.4.3).
READABLE = 4.5

COLOURS_OF_PILLS = """pills => pills.map(pill => {
    const opaque = element => {
        const colour = getComputedStyle(element).backgroundColor;
        return colour === 'rgba(0, 0, 0, 0)' ? opaque(element.parentElement) : colour;
    };
    return [pill.textContent, getComputedStyle(pill).color, opaque(pill)];
})"""


def test_list__retries_what_is_ticked(operator_page):
    failed, done = make_task(Status.FAILED), make_task(Status.COMPLETED)
    page: Page = operator_page()

    page.goto(LIST)
    for task in (failed, done):
        page.locator(f"input[value='{task.pk}']").check()
    page.get_by_label("Action:").select_option("retry_tasks")
    page.get_by_role("button", name="Go").click()

    expect(page.locator(".messagelist")).to_contain_text("1 task will be tried again. 1 skipped: only failed")
    row = page.get_by_role("row").filter(has=page.locator(f"input[value='{failed.pk}']"))
    expect(row.locator(".embeddings-pill")).to_have_text("pending")


def test_detail__leads_from_the_list_to_a_retry(operator_page):
    task = make_task(Status.FAILED, error_kind="configuration", error_message="The key is wrong.")
    page: Page = operator_page()

    page.goto(LIST)
    page.locator("#result_list").get_by_role("link", name="failed").click()
    expect(page.get_by_text("Correct EMBEDDING_PROVIDERS")).to_be_visible()
    page.get_by_role("button", name="Retry").click()

    expect(page.locator(".messagelist")).to_contain_text("1 task will be tried again.")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    assert EmbeddingTask.objects.get(pk=task.pk).status == Status.PENDING


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_list__every_status_can_be_read(operator_page, theme):
    for status in Status.values:
        make_task(status)
    page: Page = operator_page(theme)

    page.goto(LIST)
    pills = page.locator(".embeddings-pill").evaluate_all(COLOURS_OF_PILLS)

    assert {name for name, _, _ in pills} == {Status(value).label for value in Status.values}
    assert {name: contrast(text, ground) for name, text, ground in pills if contrast(text, ground) < READABLE} == {}
    assert len({ground for _, _, ground in pills}) > 3  # the style sheet is there


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two CSS colours, 1 to 21 (WCAG 2.2, "relative luminance")."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(value) / 255 for value in re.findall(r"\d+", colour)[:3])
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
