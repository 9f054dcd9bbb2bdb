"""System 002's pages: a note is written here, and appears together with its vector."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from embeddings import boxes
from embeddings.models import Status
from project.content.catalogue import COLLECTIONS
from project.content.forms import NoteForm
from project.content.models import Note
from project.content.states import LABELS, State
from project.content.views.access import check, needs, object_or_404
from project.content.views.rendering import detail as details
from project.content.views.rendering import live, page
from project.content.visibility import may, visible

# The latest notes that are listed, and how many that are on their way one session remembers.
RECENT = 20
MAX_ON_THEIR_WAY = 20
# Where the session remembers them: [[key, title], …], newest first.
REMEMBERED = "notes_on_their_way"

STORED = State("ready", "ready")
GONE = State("idle", "gone")


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """A note that this visitor has just added, by its future key; `problem` says why it is not stored."""

    key: str
    title: str
    state: State
    problem: str = ""

    @property
    def is_stored(self) -> bool:
        return self.state is STORED


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("view", Note)
def index(request: HttpRequest) -> HttpResponse:
    """The latest notes, and a form for one more. htmx gets the form anew, and what is on its way under it."""
    form = NoteForm(request.POST or None)
    if request.method == "POST":
        check(request, "add", Note)
        if form.is_valid() and _add(request, form):
            if not request.htmx:
                return redirect("notes")
            form = NoteForm()
    context = {"form": form if may(request.user, "add", Note) else None, "on_their_way": _on_their_way(request)}
    if request.htmx:
        return render(request, "partials/add_note.html", {**live(), **context, "is_partial": True})
    notes = visible(Note, request.user).only("title", "created_at").order_by("-created_at")[:RECENT]
    return page(request, "notes.html", {**context, "notes": notes})


@require_safe
@never_cache
def box(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What has become of a note that this visitor added, once that is something else than `was`. For htmx."""
    title = dict(request.session.get(REMEMBERED, [])).get(str(pk))
    note = OnItsWay(str(pk), "", GONE) if title is None else _found(str(pk), title)
    if not note.state.is_settled and note.state.label == request.GET.get("was"):
        return HttpResponse(status=204)
    return render(request, "partials/box.html", {**live(), "note": note, "is_alone": True})


@require_safe
@never_cache
@needs("view", Note)
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One note, its state, and those near it in meaning."""
    return page(request, "note.html", details(object_or_404(COLLECTIONS["notes"], pk, request)))


def _add(request: HttpRequest, form: NoteForm) -> bool:
    """Box the note and remember it; False if the form has got an error by it."""
    try:
        boxed = Note.objects.create_boxed(**form.values())
    except ValidationError as exc:
        form.add_error(None, exc)
        return False
    remembered = [[str(boxed.entity_id), form.cleaned_data["title"]], *request.session.get(REMEMBERED, [])]
    request.session[REMEMBERED] = remembered[:MAX_ON_THEIR_WAY]
    return True


def _on_their_way(request: HttpRequest) -> list[OnItsWay]:
    """What this visitor has added, newest first; a whole page forgets what is stored by now, as it lists that."""
    remembered: list[list[str]] = request.session.get(REMEMBERED, [])
    found = [_found(key, title) for key, title in remembered]
    if request.htmx or not found:
        return found
    found = [note for note in found if note.state not in {STORED, GONE}]
    request.session[REMEMBERED] = [[note.key, note.title] for note in found]
    return found


def _found(key: str, title: str) -> OnItsWay:
    state = boxes.state_of(Note, key)
    if state is None or state.is_stored:
        is_there = Note.objects.filter(pk=key).exists()
        return OnItsWay(key, title, STORED if is_there else GONE)
    problem = state.error.message if state.error and state.status == Status.FAILED else ""
    return OnItsWay(key, title, LABELS[Status(state.status)], problem)
