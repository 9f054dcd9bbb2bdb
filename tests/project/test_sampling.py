from __future__ import annotations

import pytest

from project.content.models import Block, Page, Recommendation, Workspace
from project.content.sampling import pages, recommendations

pytestmark = pytest.mark.django_db


def test_load__pages_of_two_workspaces():
    loaded = pages.load()

    handbook = Page.objects.filter(workspace__name="Handbook")
    assert loaded == Page.objects.count() > 20
    assert min(map(len, handbook.values_list("content", flat=True))) > 300 * 6
    assert not handbook.filter(content__startswith="# ").exists()
    assert Page.objects.filter(workspace__name="Packages", title="django-rq", content__contains="\n## ").exists()
    assert set(Block.objects.values_list("page__title", flat=True)) == set(handbook.values_list("title", flat=True))


def test_load__leaves_pages_to_their_workspace():
    pages.load()
    Page.objects.filter(title="Deploying").update(title="How we deploy", content="Ask first.")
    Page.objects.filter(title="Running workers").delete()
    count = Page.objects.count()

    loaded = pages.load()

    assert (loaded, Page.objects.count(), Workspace.objects.count()) == (0, count, 2)


def test_load__recommendations_once():
    first = recommendations.load()
    Recommendation.objects.filter(topic="security").delete()

    second = recommendations.load()

    assert (first, second) == (60, 0)
    assert Recommendation.objects.count() == 57
