from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User

from project.content.models import Article, Block, Note, Page, Recommendation, Workspace
from project.content.visibility import may, visible

pytestmark = pytest.mark.django_db


@pytest.fixture
def page() -> Page:
    return Page.objects.create(workspace=Workspace.objects.create(name="Handbook"), title="Backups", content="Daily.")


def reader(*names: str) -> User:
    user = User.objects.create_user("reader")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return user


def test_visible__strangers_see_what_is_public():
    Article.objects.create(slug="a", title="A")
    Recommendation.objects.create(title="R", text="r")
    Note.objects.create(slug="n", title="N", text="n")

    seen = [visible(model, AnonymousUser()).count() for model in (Article, Recommendation, Note, Page)]

    assert seen == [1, 1, 0, 0]


def test_visible__by_permission():
    note = Note.objects.create(slug="n", title="N", text="n")

    assert list(visible(Note, reader())) == []
    User.objects.all().delete()
    assert list(visible(Note, reader("view_note"))) == [note]


def test_visible__pages_of_own_workspaces_only(page):
    user = reader("view_page", "view_block", "view_workspace")
    block = Block.objects.create(page=page, text="Check them.")

    assert [visible(model, user).count() for model in (Workspace, Page, Block)] == [0, 0, 0]
    page.workspace.members.add(user, User.objects.create_user("other"))
    assert list(visible(Page, user)) == [page]
    assert list(visible(Block, user)) == [block]
    assert list(visible(Workspace, user)) == [page.workspace]


def test_visible__a_member_without_the_permission(page):
    user = reader()
    page.workspace.members.add(user)

    assert not visible(Page, user).exists()


def test_visible__superusers_see_all(page):
    user = User.objects.create_superuser("root")

    assert list(visible(Page, user)) == [page]


def test_may__asks_for_the_model_s_permission():
    user = reader("add_note")

    assert may(user, "add", Note)
    assert not may(user, "change", Note)
    assert not may(AnonymousUser(), "add", Note)
