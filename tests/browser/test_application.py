"""What people do with the five systems on the pages: find, write, upload, and watch it become ready."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from playwright.sync_api import Locator, Page, expect

from embeddings import pipeline
from project.content.models import Article, Note, Receipt, Recommendation, Workspace
from project.content.models import Page as WikiPage
from project.content.sampling.receipts import sample_receipts
from tests.browser.conftest import CONTRAST, OpenPage, Picture
from tests.integration.conftest import Workers

pytestmark = pytest.mark.django_db(transaction=True)

DESKTOP = {"viewport": {"width": 1200, "height": 1008}, "device_scale_factor": 1.25}
LOW = DESKTOP | {"viewport": {"width": 1200, "height": 720}}
TELEPHONE = {"viewport": {"width": 320, "height": 640}}
# Vectors with a meaning, and vectors that take their time, in the server as in the worker.
LOCAL = {"BACKEND": "embeddings.providers.local.LocalProvider", "MODEL": "l2_supercat_256", "DIMENSIONS": 256}
SLOW = {
    "BACKEND": "embeddings.providers.dummy.DummyProvider",
    "MODEL": "dummy",
    "DIMENSIONS": 256,
    "OPTIONS": {"LATENCY_SECONDS": 0.5},
}
# What a worker embeds at once, so that there is something to watch.
FEW_AT_ONCE = {"BATCH_SIZE": 1, "CONCURRENCY": 1}

HANDBOOK = resources.files("project.content") / "samples" / "handbook"


@pytest.fixture
def local(settings) -> dict[str, Any]:
    settings.EMBEDDING_PROVIDERS = {"default": LOCAL}
    return settings.EMBEDDING_PROVIDERS


@pytest.fixture
def slow(settings) -> dict[str, Any]:
    settings.EMBEDDING_PROVIDERS = {"default": SLOW}
    return settings.EMBEDDING_PROVIDERS


@pytest.fixture
def member(redis_client) -> User:
    """Somebody who may see, add and change everything, and is a member of the workspace Handbook."""
    user = User.objects.create_user("robin")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="content"))
    Workspace.objects.create(name="Handbook").members.add(user)
    return user


@pytest.fixture
def texts(local, member) -> None:
    """A few texts of each kind, with vectors that mean something."""
    make_articles()
    Recommendation.objects.create(
        title="Give subprocess a list, not a string",
        text="subprocess.run(['ls', path]) starts the program itself. With shell=True a space or a quote in the path "
        "becomes part of a command. Capture what it prints with capture_output=True.",
        topic="processes",
    )
    Recommendation.objects.create(
        title="Close files with a with statement", text="It closes the file also after an error.", topic="files"
    )
    Note.objects.create(
        slug="hanging-child",
        title="Why the deploy script hung",
        text="The program printed more than the pipe holds and nobody read its output. Read both pipes with "
        "communicate(), or run it with capture_output.",
    )
    Note.objects.create(slug="coffee", title="Coffee machine", text="Descale it in March and in September.")
    workspace = Workspace.objects.get()
    WikiPage.objects.create(workspace=workspace, title="Running workers", content=handbook("workers"))
    Receipt.objects.create(
        merchant="Corner Bakery", purchased_on="2026-03-01", total="7.20", text="Sourdough loaf, butter croissant"
    )
    embed()


def make_articles() -> None:
    documented = {
        "run": "Run command with arguments and return a CompletedProcess instance. Its stdout and stderr are None "
        "unless they are captured: pass capture_output=True to read the output of the program.",
        "getoutput": "Return output (stdout and stderr) of executing cmd in a shell. Like getstatusoutput(), except "
        "the exit status is ignored and the return value is a string containing the command's output.",
        "check_output": "Run command with arguments and return its output. If the exit code was non-zero it raises a "
        "CalledProcessError, which has the output in its attribute output.",
        "Popen.communicate": "Interact with process: send data to stdin, read data from stdout and stderr until "
        "end-of-file is reached, wait for the program to end.",
        "Popen.poll": "Check if child process has terminated. Set and return returncode attribute.",
    }
    Article.objects.bulk_create(
        Article(
            slug=f"subprocess.{name}",
            title=f"subprocess.{name}",
            signature=f"{name.rpartition('.')[2]}(*args, timeout=None, **kwargs)",
            content=text,
            source="subprocess",
        )
        for name, text in documented.items()
    )
    Article.objects.create(
        slug="pty.spawn", title="pty.spawn", source="pty", content="Create a spawned process and read what it prints."
    )
    Article.objects.create(slug="zipfile.Path", title="zipfile.Path", source="zipfile", content="A path in a zip file.")


def handbook(name: str) -> str:
    """The Markdown of a sample page, without its title."""
    return (HANDBOOK / f"{name}.md").read_text(encoding="utf-8").partition("\n")[2].strip()


def embed() -> None:
    """Let a worker do all that waits."""
    pipeline.Drain("test", seconds=30).run()


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until `target` has the focus."""
    for _ in range(40):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"The keyboard does not lead to {target}.")


def results(page: Page) -> Locator:
    return page.locator(".results > li")


def poor_contrast(page: Page) -> list[str]:
    return page.evaluate(CONTRAST)


@pytest.mark.parametrize(
    ("kind", "query", "title"),
    [
        ("Articles", "zip file", "zipfile.Path"),
        ("Pages", "process manager", "Running workers"),
        ("Notes", "descale", "Coffee machine"),
        ("Recommendations", "close files", "Close files with a with statement"),
        ("Receipts", "croissant", "Corner Bakery, 2026-03-01"),
    ],
)
def test_search__each_kind_in_each_mode_by_keyboard_alone(open_page: OpenPage, texts, member, kind, query, title):
    page = open_page(user=member)
    keyboard = page.keyboard

    keyboard.type(query)  # The box has the focus.
    keyboard.press("Enter")
    expect(page).to_have_url(re.compile("mode=hybrid&only=$"))
    tab_to(page, page.get_by_role("radio", name="All"))
    chosen = page.get_by_role("radio", name=kind)
    while not chosen.is_checked():
        keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(f"only={kind.lower()}$"))
    expect(results(page).first).to_contain_text(title)
    keyboard.press("Shift+Tab")
    for mode in ("semantic", "keyword"):
        keyboard.press("ArrowRight")
        expect(page).to_have_url(re.compile(f"mode={mode}"))
        expect(page.locator(".results h2 a").first).to_have_text(title)
    expect(page.locator("#results.htmx-request")).to_have_count(0)
    tab_to(page, page.locator(".results h2 a").first)
    keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text(title)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_search__all_kinds_in_one_list(open_page: OpenPage, texts, member, picture: Picture, scheme):
    page = open_page("/?q=run+a+program+and+read+its+output", user=member, color_scheme=scheme, **DESKTOP)
    page.reload()  # as a page that has been asked before

    kinds = page.locator(".results .kind").all_inner_texts()

    assert {"Article, subprocess", "Note", "Recommendation"} <= set(kinds)
    assert poor_contrast(page) == []
    picture(page, "search" if scheme == "light" else "search-dark")


def test_search__strangers_see_what_is_public_and_no_forms(open_page: OpenPage, texts):
    page = open_page("/?q=run+a+program+and+read+its+output")

    kinds = set(page.locator(".results .kind").all_inner_texts())

    assert {kind.partition(",")[0] for kind in kinds} == {"Article", "Recommendation"}
    expect(page.get_by_role("radio")).to_have_count(3 + 3)
    expect(page.locator("form[method=post]")).to_have_count(0)
    page.get_by_role("link", name="Log in").click()
    expect(page.get_by_label("Username")).to_be_focused()


def test_login__leads_back_and_out_again(open_page: OpenPage, texts, member):
    member.set_password("correct horse")
    member.save()
    page = open_page("/?q=descale&mode=keyword")

    page.get_by_role("link", name="Log in").click()
    expect(page.get_by_label("Username")).to_be_focused()
    page.keyboard.type("robin")
    page.keyboard.press("Tab")
    page.keyboard.type("correct horse")
    page.keyboard.press("Enter")

    expect(results(page)).to_contain_text("Coffee machine")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Log in")).to_be_visible()
    assert poor_contrast(page) == []


def test_note__is_added_and_becomes_ready(
    open_page: OpenPage, worker: Workers, local, member, picture: Picture, redis_client
):
    Note.objects.create(slug="old", title="Where the spare fuses are", text="In the left drawer of the workshop.")
    embed()
    page = open_page("/notes/", user=member, **LOW)
    on_its_way = page.get_by_label("Notes on their way").get_by_role("listitem")

    page.keyboard.type("Which terminal the phase is on")  # The first field has the focus.
    page.keyboard.press("Tab")
    page.keyboard.type("Terminal 3, counted from the left. Measure before you touch it.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(on_its_way).to_have_text(re.compile("Which terminal the phase is on.*embedding…", re.DOTALL))
    expect(page.get_by_label("Title")).to_be_focused()
    page.keyboard.type("Where the long ladder is")
    assert not Note.objects.filter(title__startswith="Which").exists()
    picture(page, "note-embedding")
    worker.started(providers=local)

    expect(on_its_way.get_by_role("link", name="Which terminal the phase is on")).to_be_visible(timeout=20_000)
    expect(on_its_way).to_contain_text("ready")
    expect(page.get_by_label("Title")).to_be_focused()
    expect(page.get_by_label("Title")).to_have_value("Where the long ladder is")
    expect(page.locator("#progress")).to_have_text(re.compile("2 of 2 ready"))
    picture(page, "note-ready")
    on_its_way.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Which terminal the phase is on")
    expect(page.get_by_role("heading", name="Similar notes")).to_be_visible()


def test_note__nothing_typed_is_lost(open_page: OpenPage, member):
    page = open_page("/notes/", user=member)

    page.get_by_label("Text").fill("The text of it.")
    page.get_by_role("button", name="Add note").click()

    expect(page.get_by_text("This field is required.")).to_be_visible()
    expect(page.get_by_label("Title")).to_be_focused()
    expect(page.get_by_label("Text")).to_have_value("The text of it.")
    assert poor_contrast(page) == []


def test_note__a_session_that_has_ended_is_said_and_nothing_typed_is_lost(open_page: OpenPage, member):
    page = open_page("/notes/", user=member, refused=True)
    page.get_by_label("Title").fill("Fuses")
    page.get_by_label("Text").fill("In the left drawer.")
    member.set_password("another")  # which ends all sessions
    member.save()

    page.get_by_role("button", name="Add note").click()

    expect(page.get_by_role("alert")).to_contain_text("You are logged out by now.")
    expect(page.get_by_label("Text")).to_have_value("In the left drawer.")
    assert poor_contrast(page) == []


def test_page__is_written_edited_and_its_chunks_watched(
    open_page: OpenPage, worker: Workers, slow, member, picture: Picture
):
    worker.started(providers=slow, embeddings=FEW_AT_ONCE)
    page = open_page("/pages/", user=member, **DESKTOP)
    state = page.locator("article .state")

    page.get_by_role("link", name="New page").click()
    page.get_by_label("Title").fill("Running workers")
    page.get_by_label("Content").fill(handbook("workers"))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Running workers")
    expect(state).to_have_text(re.compile(r"^[1-9]\d* of \d+ chunks ready$"), timeout=20_000)
    picture(page, "page-chunks")
    expect(state).to_have_text("ready", timeout=20_000)
    before = vectors()
    page.get_by_role("link", name="Edit").click()
    content = page.get_by_label("Content")
    content.fill(content.input_value().replace("Start with one.", "Start with one, then look."))
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("Start with one, then look.")).to_be_visible()
    expect(state).not_to_have_text("ready")
    expect(state).to_have_text("ready", timeout=20_000)
    after = vectors()
    assert len(after) == len(before)
    assert 0 < len([pk for pk in after if after[pk] != before.get(pk)]) <= 3  # the others keep theirs


def vectors() -> dict[int, list[float]]:
    return {chunk.pk: list(chunk.embedding) for chunk in WikiPage.objects.get().chunks.all()}


def test_receipts__are_uploaded_and_watched(
    open_page: OpenPage, worker: Workers, slow, member, picture: Picture, tmp_path: Path
):
    rows = list(sample_receipts(25, seed=7))
    rows[3]["total"] = "much"
    file = tmp_path / "march.json"
    file.write_text(json.dumps(rows))
    worker.started(providers=slow, embeddings={**FEW_AT_ONCE, "BATCH_SIZE": 24})
    page = open_page("/receipts/", user=member, **DESKTOP)
    batch = page.locator(".batch")
    asked: list[str] = []

    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_text("24 receipts stored.")).to_be_visible()
    expect(page.get_by_text("Receipt 4: total: A valid number is required.")).to_be_visible()
    expect(batch).to_have_text(re.compile(r"[1-9]\d* of \d+ vectors ready"), timeout=20_000)
    expect(page.locator("#receipts").get_by_role("listitem")).to_have_count(1 + 20)
    picture(page, "receipts-upload")
    expect(batch).to_contain_text("finished", timeout=30_000)
    expect(page.locator("#progress progress")).to_have_count(0, timeout=5_000)

    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2_500)
    assert asked == []
    assert Receipt.objects.count() == 24


def test_receipts__a_wrong_file_is_explained_where_it_was_chosen(open_page: OpenPage, member, tmp_path: Path):
    file = tmp_path / "march.json"
    file.write_text("{")
    page = open_page("/receipts/", user=member)

    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Upload").click()

    expect(page.locator(".field .errorlist")).to_have_text(re.compile("^The file is not JSON"))
    assert poor_contrast(page) == []


PATHS: dict[str, Callable[[], str]] = {
    "start": lambda: "/",
    "results": lambda: "/?q=output",
    "article": lambda: "/articles/subprocess.run/",
    "recommendation": lambda: Recommendation.objects.earliest("pk").get_absolute_url(),
    "notes": lambda: "/notes/",
    "note": lambda: Note.objects.earliest("pk").get_absolute_url(),
    "pages": lambda: "/pages/",
    "page": lambda: WikiPage.objects.get().get_absolute_url(),
    "edit": lambda: f"{WikiPage.objects.get().get_absolute_url()}edit/",
    "receipts": lambda: "/receipts/",
    "receipt": lambda: Receipt.objects.get().get_absolute_url(),
}


def test_pages__can_be_read_in_light_and_dark_and_fit_a_telephone(open_page: OpenPage, texts, member):
    wide = "\n\n```\n" + "long " * 60 + "\n```\n\n|a|b|\n|-|-|\n|1|" + "x" * 90
    WikiPage.objects.update(content=handbook("workers") + wide)
    member.is_staff = True
    member.save()
    too_wide, poor = [], []

    for scheme in ("light", "dark"):
        page = open_page(user=member, color_scheme=scheme, **TELEPHONE)
        for name, path in PATHS.items():
            page.goto(path())
            poor += [f"{name}: {each}" for each in poor_contrast(page)]
            if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
                too_wide.append(name)

    assert poor == []
    assert too_wide == []
