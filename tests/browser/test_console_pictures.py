"""Pictures of the console for docs/images, in both themes."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from embeddings import registry
from embeddings.models import EmbeddingOperation, EmbeddingTask
from tests.browser import production
from tests.browser.conftest import OpenPage, Picture
from tests.browser.console import OUTAGE, OVERVIEW, address

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("theme", "suffix"), [("light", ""), ("dark", "-dark")])
def test_pictures__of_the_console(
    open_page: OpenPage, redis_client, settings, picture: Picture, monkeypatch, theme, suffix
):
    settings.EMBEDDING_PROVIDERS = production.PROVIDERS
    targets = [target for target in registry.all_targets() if target.label.startswith("content.")]
    monkeypatch.setattr(registry, "all_targets", lambda: targets)  # without those of the tests' own app
    ada = User.objects.create_superuser("ada")
    failed = production.make(redis_client)
    task = EmbeddingTask.objects.get(object_id=str(failed.pk), field="embedding")
    page = open_page("/admin/", ada, color_scheme=theme, viewport={"width": 1200, "height": 900})
    # The list of all apps says nothing here, and takes a quarter of the width.
    page.evaluate("localStorage.setItem('django.admin.navSidebarIsOpen', 'false')")

    def take(name: str, path: str, shown: str, height: int) -> None:
        page.set_viewport_size({"width": 1200, "height": height})
        page.goto(address(path))
        page.get_by_text(shown).last.scroll_into_view_if_needed()
        picture(page, f"console-{name}{suffix}")

    take("overview", f"{OVERVIEW}?refresh=off", "540 tasks have failed for good", 1_530)
    take("failures", "failuregroup/", OUTAGE, 800)
    take("task", f"embeddingtask/{task.pk}/change/", "Attempt 3", 760)
    take("providers", "providerstate/", production.MODEL, 420)
    take("settings", "livesettings/1/change/", "Last changed by ada", 1_000)
    take("panel", f"/admin/content/article/{failed.pk}/change/", "Embed again", 600)
    page.goto(address("failuregroup/"))
    page.get_by_role("link", name="Retry these 500").click()
    page.set_viewport_size({"width": 1200, "height": 520})
    expect(page.locator("#content")).to_contain_text("will be tried again")
    picture(page, f"console-retry{suffix}")
    page.get_by_role("button", name="Yes, retry 500 tasks").click()
    EmbeddingOperation.objects.update(state="running", rows_read=300, rows_total=500, changed=300)
    page.reload()
    expect(page.locator(".field-result")).to_contain_text(re.compile("300 of 300 retried"))
    picture(page, f"console-operation{suffix}")
