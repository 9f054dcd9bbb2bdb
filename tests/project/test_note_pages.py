from __future__ import annotations

import re

import pytest
from django.test import Client

from embeddings.models import EmbeddingTask, Priority, Status
from project.content.models import Note
from project.content.views.notes import MAX_ON_THEIR_WAY

pytestmark = pytest.mark.django_db(transaction=True)

HTMX = {"HX-Request": "true"}
WRITER = ("view_note", "add_note")


def add(client: Client, title: str = "Fuses", text: str = "In the left drawer.", **options: object) -> str:
    response = client.post("/notes/", {"title": title, "text": text}, headers=HTMX, **options)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def watched(html: str) -> str:
    """Where the page asks what has become of the note."""
    return re.search(r'hx-get="(/notes/boxes/[^"?]+/)', html)[1]


def html_of(client: Client, path: str, **data: str) -> str:
    response = client.get(path, data)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_notes__strangers_log_in_first(client):
    response = client.get("/notes/")

    assert response.headers["Location"] == "/login/?next=/notes/"
    assert client.post("/notes/", {"title": "a", "text": "b"}, headers=HTMX).status_code == 403


def test_notes__without_the_permission_to_add(client, log_in):
    log_in("view_note")

    assert "<form" not in html_of(client, "/notes/").partition("<main")[2]
    response = client.post("/notes/", {"title": "a", "text": "b"}, headers=HTMX)
    assert response.status_code == 403
    assert "This needs the permission content.add_note." in response.content.decode()
    assert not EmbeddingTask.objects.exists()


def test_add__boxed_then_there(client, log_in, embed):
    log_in(*WRITER)

    html = add(client)
    box = watched(html)

    assert '<span>Fuses</span> <span class="state working">embedding…</span>' in html
    assert 'value="Fuses"' not in html  # the form is empty again
    assert not Note.objects.exists()
    assert client.get(box, {"was": "embedding…"}).status_code == 204
    embed()
    note = Note.objects.get()
    html = html_of(client, box, was="embedding…")
    assert f'<a href="/notes/{note.pk}/">Fuses</a> <span class="state ready">ready</span>' in html
    assert "/notes/boxes/" not in html


def test_add__is_a_person_s_save_of_one_new_note(client, log_in):
    log_in(*WRITER)

    add(client)
    add(client)

    tasks = EmbeddingTask.objects.all()
    assert [task.priority for task in tasks] == [Priority.HIGH] * 2  # the same title again takes no slug away


def test_add__nothing_typed_is_lost(client, log_in):
    log_in(*WRITER)

    html = add(client, title="x" * 201, text="<b>kept</b>")

    assert "Ensure this value has at most 200 characters" in html
    assert "&lt;b&gt;kept&lt;/b&gt;</textarea>" in html
    assert re.search(r'name="title" value="x{201}"[^>]* autofocus [^>]*aria-invalid="true"', html)
    assert not EmbeddingTask.objects.exists()


@pytest.mark.parametrize(("title", "text"), [("", "text"), ("title", ""), ("\0", "text"), ("title", "a\0b")])
def test_add__what_is_wrong_is_said_at_the_field(client, log_in, title, text):
    log_in(*WRITER)

    html = add(client, title, text)

    assert html.count('class="errorlist"') == 1
    assert not EmbeddingTask.objects.exists()


def test_add__without_script(client, log_in, embed):
    log_in(*WRITER)

    response = client.post("/notes/", {"title": "Fuses", "text": "Left."})

    assert response.headers["Location"] == "/notes/"
    assert "embedding…" in html_of(client, "/notes/")
    embed()
    html = html_of(client, "/notes/")
    assert "/notes/boxes/" not in html
    assert html.count("Fuses") == 1


@pytest.mark.parametrize("title", ["日本語", "---", "x" * 200])
def test_add__any_title_has_a_slug(client, log_in, embed, title):
    log_in(*WRITER)

    add(client, title)
    embed()

    assert Note.objects.get().title == title


def test_add__a_session_remembers_only_so_many(client, log_in):
    log_in(*WRITER)

    for number in range(MAX_ON_THEIR_WAY + 1):
        html = add(client, f"note {number}")

    assert html.count("/notes/boxes/") == MAX_ON_THEIR_WAY
    assert "<span>note 0</span>" not in html


def test_box__says_why_it_failed(client, log_in):
    log_in(*WRITER)
    box = watched(add(client))
    EmbeddingTask.objects.update(status=Status.FAILED, error_kind="input", error_message="The slug is taken.")

    html = html_of(client, box, was="embedding…")

    assert '<span class="state failed">failed</span> <span class="why">The slug is taken.</span>' in html
    assert "/notes/boxes/" not in html


def test_box__of_another_visitor(client, log_in):
    log_in(*WRITER)
    box = watched(add(client, "Secret"))

    html = html_of(Client(), box)

    assert "Secret" not in html
    assert "/notes/boxes/" not in html


def test_note__its_state_and_its_neighbours(client, log_in, embed):
    log_in("view_note")
    note, _ = (Note.objects.create(slug=slug, title=slug, text="<i>text</i>") for slug in ("one", "two"))
    embed()

    html = html_of(client, f"/notes/{note.pk}/")

    assert "&lt;i&gt;text&lt;/i&gt;" in html
    assert f'<span id="state-note-{note.pk}" class="state ready">ready</span>' in html
    assert "Similar notes" in html
    assert ">two</a>" in html


def test_note__is_not_public(client):
    note = Note.objects.create(slug="one", title="one", text="text")

    assert client.get(f"/notes/{note.pk}/").status_code == 302
    assert client.get(f"/similar/notes/{note.pk}/").status_code == 404
    assert str(note.pk) not in html_of(client, "/status/", shown=f"note.{note.pk}")
    assert "/notes/" not in html_of(client, "/", q="text", mode="keyword")


def test_note__in_search_for_who_may_see_it(client, log_in):
    log_in("view_note")
    note = Note.objects.create(slug="one", title="one", text="a text about fuses")

    html = html_of(client, "/", q="fuses", mode="keyword", only="notes")

    assert f'<a href="/notes/{note.pk}/">one</a>' in html
    assert "about <mark>fuses</mark>" in html
    assert '<span class="kind">Note</span>' in html
