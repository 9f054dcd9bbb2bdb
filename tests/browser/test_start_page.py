from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from embeddings import pipeline
from project.content.models import Article
from tests.browser.conftest import CONTRAST, OpenPage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def articles(redis_client) -> None:
    texts = [("pick", "apples"), ("wash", "apples"), ("sort", "apples"), ("peel", "apples"), ("press", "pears")]
    for name, fruit in texts:
        Article.objects.create(
            slug=f"fruit.{name}",
            title=f"fruit.{name}",
            signature=f"{name}(basket)",
            content=f"What it does to {fruit}.",
            source="fruit",
        )
    Article.objects.create(slug="guides/bread", title="Bread", content="Bake it. No apples.")


def embed() -> None:
    """Let a worker do all that waits."""
    pipeline.Drain("test", seconds=30).run()


def box(page: Page) -> Locator:
    return page.get_by_role("searchbox", name="What are you looking for?")


def search(page: Page, text: str) -> None:
    box(page).fill(text)
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("status")).to_be_visible()


def headings(page: Page) -> Locator:
    return page.locator(".results h2")


def test_search__typing_and_submitting(open_page: OpenPage, articles):
    embed()
    page = open_page()

    search(page, "apples")

    expect(headings(page)).to_have_count(2)
    expect(page.locator(".results mark").first).to_have_text("apples")
    expect(page).to_have_url(re.compile(r"\?q=apples&mode=hybrid$"))
    page.go_back()
    expect(page.get_by_text("For example:")).to_be_visible()


def test_search__an_example(open_page: OpenPage, articles):
    embed()
    page = open_page()

    page.get_by_role("link", name="run a program and read what it prints").click()

    expect(box(page)).to_have_value("run a program and read what it prints")
    expect(headings(page)).not_to_have_count(0)


def test_search__switching_the_mode_searches_again(open_page: OpenPage, articles):
    embed()
    page = open_page("/?q=pears")
    expect(headings(page)).to_have_count(2)

    page.get_by_text("Words", exact=True).click()

    expect(headings(page)).to_have_count(1)
    expect(page).to_have_url(re.compile("mode=keyword"))
    page.get_by_text("Meaning", exact=True).click()
    expect(headings(page)).to_have_count(2)


def test_search__states_become_ready_by_themselves(open_page: OpenPage, articles):
    page = open_page()
    search(page, "apples")
    states = page.locator(".results .state")
    expect(states).to_have_text(["embedding…"] * 4)

    embed()

    expect(states).to_have_text(["ready"] * 4)
    expect(page.locator("#progress")).to_have_text(re.compile("6 of 6 ready"))


def test_search__more_of_one_source_and_back(open_page: OpenPage, articles):
    embed()
    page = open_page("/?q=apples&mode=semantic")

    page.get_by_role("link", name="2 more from fruit").click()

    expect(headings(page)).to_have_count(5)
    search(page, "pears")
    expect(page).to_have_url(re.compile("q=pears.*source=fruit"))
    expect(headings(page)).to_have_count(5)
    page.get_by_role("link", name="Search everything, not only fruit").click()
    expect(box(page)).to_have_value("pears")
    expect(headings(page)).to_have_count(2)


def test_search__by_keyboard_alone(open_page: OpenPage, articles):
    embed()
    page = open_page()
    keyboard = page.keyboard

    keyboard.type("pears")  # The box has the focus.
    keyboard.press("Enter")
    expect(headings(page)).to_have_count(2)
    for key in ("Tab", "Tab", "ArrowRight", "ArrowRight"):  # The button; the modes: from both to words.
        keyboard.press(key)
    expect(headings(page)).to_have_count(1)
    keyboard.press("Tab")
    expect(headings(page).get_by_role("link")).to_be_focused()
    keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("fruit.press")
    expect(page.get_by_text("press(basket)")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/?q=apples", "/?q=apples&source=fruit", "/articles/fruit.pick/"])
def test_pages__all_text_can_be_read(open_page: OpenPage, articles, scheme, path):
    embed()
    page = open_page(path, color_scheme=scheme)

    poor = page.evaluate(CONTRAST)

    assert poor == []


def test_pages__dark_is_dark(open_page: OpenPage, redis_client):
    page = open_page(color_scheme="dark")

    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert max(map(int, re.findall(r"\d+", colour))) < 60


@pytest.mark.parametrize("path", ["/", "/?q=apples", "/articles/fruit.pick/"])
def test_pages__fit_a_telephone(open_page: OpenPage, articles, path):
    Article.objects.filter(slug="fruit.pick").update(signature=f"pick({'basket, ' * 60})")
    page = open_page(path, viewport={"width": 320, "height": 640})

    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    assert overflow == 0
