from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from project.content.models import Page, Workspace

pytestmark = pytest.mark.django_db(transaction=True)

EDITOR = ("view_page", "add_page", "change_page")
CONTENT = "# Restore\n\nUse the **last** dump.\n\n" + "\n\n".join(
    f"## Step {number}\n\n" + f"Do what step {number} says, slowly and with care. " * 20 for number in range(8)
)


@pytest.fixture
def workspace(log_in) -> Workspace:
    """A workspace of the client's, who may do all with pages."""
    workspace = Workspace.objects.create(name="Handbook")
    workspace.members.add(log_in(*EDITOR))
    return workspace


@pytest.fixture
def page(workspace: Workspace) -> Page:
    return Page.objects.create(workspace=workspace, title="Backups", content=CONTENT)


@pytest.fixture
def foreign() -> Page:
    workspace = Workspace.objects.create(name="Others")
    return Page.objects.create(workspace=workspace, title="Foreign", content="Nobody's business, fuses.")


def html_of(client: Client, path: str, **data: str) -> str:
    response = client.get(path, data)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


@pytest.mark.parametrize("path", ["/pages/", "/pages/new/", "/pages/1/", "/pages/1/edit/"])
def test_pages__strangers_log_in_first(client, path):
    assert client.get(path).headers["Location"] == f"/login/?next={path}"


def test_pages__only_those_of_own_workspaces(client, page, foreign):
    html = html_of(client, "/pages/")

    assert f'<a href="/pages/{page.pk}/">Backups</a>' in html
    assert "Foreign" not in html
    for path in ("", "edit/", "progress/"):
        assert client.get(f"/pages/{foreign.pk}/{path}").status_code == 404
    assert client.post(f"/pages/{foreign.pk}/edit/", {"title": "Mine"}).status_code == 404
    assert "Nothing was found" in html_of(client, "/", q="fuses", mode="keyword")


def test_pages__without_a_workspace(client, log_in):
    log_in(*EDITOR)

    assert "You are a member of no workspace yet" in html_of(client, "/pages/")
    assert "You are a member of no workspace yet" in html_of(client, "/pages/new/")


def test_page__from_embedding_to_ready(client, page, embed):
    path = f"/pages/{page.pk}/"

    waiting = html_of(client, path)
    embed()
    ready = html_of(client, path)

    assert "<h2>Restore</h2> <p>Use the <strong>last</strong> dump.</p>" in waiting
    assert f'hx-get="{path}progress/?was=embedding%E2%80%A6" hx-trigger="every 1s"' in waiting
    assert '<span class="state ready"' in ready
    assert "hx-get" not in ready


def test_page__brings_no_html_or_requests_of_its_own(client, page):
    page.content = "<script>alert(1)</script> ![logo](https://example.org/a.png) [go](javascript:alert(1))"
    page.save()

    html = html_of(client, f"/pages/{page.pk}/").partition("<article")[2]

    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert "<img" not in html
    assert "example.org" not in html
    assert 'href="javascript' not in html


def test_progress__says_nothing_until_it_changes(client, page, embed):
    path = f"/pages/{page.pk}/progress/"

    assert client.get(path, {"was": "embedding…"}).status_code == 204
    embed()
    html = html_of(client, path, was="embedding…")

    assert '<span class="state ready" >ready</span>' in html


def test_edit__saves_at_once(client, page, embed):
    embed()
    form = {"workspace": page.workspace.pk, "title": "Backups", "content": CONTENT.replace("last", "newest")}

    response = client.post(f"/pages/{page.pk}/edit/", form)

    assert response.headers["Location"] == f"/pages/{page.pk}/"
    page.refresh_from_db()
    assert "newest" in page.content
    html = html_of(client, f"/pages/{page.pk}/")
    assert "<strong>newest</strong>" in html
    assert 'class="state working"' in html


def test_edit__nothing_typed_is_lost(client, page):
    form = {"workspace": page.workspace.pk, "title": "", "content": "What I <b>typed</b>."}

    response = client.post(f"/pages/{page.pk}/edit/", form)

    html = response.content.decode()
    assert "This field is required." in html
    assert "What I &lt;b&gt;typed&lt;/b&gt;." in html
    page.refresh_from_db()
    assert page.title == "Backups"


def test_edit__without_the_permission(client, page):
    User.objects.get().user_permissions.clear()
    user = User.objects.get()
    user.user_permissions.add(*_permissions("view_page"))

    assert "Edit</a>" not in html_of(client, f"/pages/{page.pk}/")
    assert client.get(f"/pages/{page.pk}/edit/").status_code == 403
    assert client.post("/pages/new/", {"title": "New"}).status_code == 403


def test_add__a_page(client, workspace):
    response = client.post("/pages/new/", {"workspace": workspace.pk, "title": "New", "content": "Text."})

    page = Page.objects.get()
    assert response.headers["Location"] == f"/pages/{page.pk}/"
    assert (page.title, page.workspace, page.content) == ("New", workspace, "Text.")


def test_add__not_into_a_workspace_of_others(client, workspace, foreign):
    form = {"workspace": foreign.workspace.pk, "title": "New", "content": "Text."}

    html = client.post("/pages/new/", form).content.decode()

    assert "Select a valid choice." in html
    assert "Others" not in html
    assert Page.objects.get() == foreign


def test_search__a_page_by_its_words(client, page):
    html = html_of(client, "/", q="zebras", mode="keyword", only="pages")

    assert "Nothing was found" in html
    html = html_of(client, "/", q="dump", mode="keyword", only="pages")
    assert f'<a href="/pages/{page.pk}/">Backups</a>' in html
    assert "Use the last <mark>dump</mark>." in html  # without the Markdown


def _permissions(*codenames: str):
    from django.contrib.auth.models import Permission

    return Permission.objects.filter(codename__in=codenames)
