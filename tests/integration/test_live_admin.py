"""The page of the live settings: who may change what, what it says, and what it refuses."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import Client

from embeddings import conf, live
from embeddings.models import AuditEvent, LiveSettings, ProviderQuota
from tests.integration import sessions
from tests.integration.conftest import dummy

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

LIST = "/admin/embeddings/livesettings/"
PAGE = f"{LIST}1/change/"

_without_flush = pytest.fixture(autouse=True, scope="module")(sessions.without_flush)


@pytest.fixture
def staff(client: Client):
    """Log in a member of staff who has exactly these permissions."""
    users = []

    def log_in(*codenames: str) -> Client:
        users.append(User.objects.create_user("staff", is_staff=True))
        users[-1].user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert users[-1].user_permissions.count() == len(codenames)
        client.force_login(users[-1])
        return client

    yield log_in
    LogEntry.objects.all().delete()
    for user in users:
        user.delete()


@pytest.fixture
def operator(staff) -> Client:
    return staff("view_livesettings", "change_livesettings")


def read(client: Client) -> str:
    response = client.get(PAGE)
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def fields(client: Client) -> dict[str, str]:
    """What a browser would send of the page as it is."""
    form = client.get(PAGE).context["form"]
    return {name: "" if (value := form[name].value()) is None else str(value) for name in form.fields}


def save(client: Client, **values: Any) -> str:
    """Type these values over those of the page and save; returns the page that follows."""
    response = client.post(PAGE, fields(client) | values, follow=True)
    return html.unescape(response.content.decode())


# Looking.


def test_page__is_reached_from_the_index_and_changes_nothing(operator):
    index = operator.get("/admin/").content.decode()
    response = operator.get(LIST)

    assert LIST in index
    assert response.headers["Location"] == PAGE
    assert read(operator)
    assert not LiveSettings.objects.exists()


def test_page__says_what_holds_where_a_field_is_blank(operator, settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BATCH_SIZE": 123, "ALERT_WAITING_SECONDS": 7200}
    settings.EMBEDDING_PROVIDERS = {"mine": {**dummy()["default"], "TOKENS_PER_MINUTE": 1_000_000}}
    live.change({"concurrency": 9}, {"mine": {"requests_per_minute": 77}}, by="anna")

    text = read(operator)
    form = operator.get(PAGE).context["form"]

    assert 'If blank: 123, from EMBEDDINGS["BATCH_SIZE"].' in text
    assert 'If blank: 7,200 (about 2 h), from EMBEDDINGS["ALERT_WAITING_SECONDS"].' in text
    assert 'from EMBEDDINGS["HEAD_START_SECONDS"]["low"].' in text
    assert 'If blank: 1,000,000, from EMBEDDING_PROVIDERS["mine"]["TOKENS_PER_MINUTE"].' in text
    assert 'placeholder="123"' in text
    assert (form["batch_size"].value(), form["concurrency"].value()) == (None, 9)
    assert form["mine.requests_per_minute"].value() == 77
    assert re.search(r"Last changed by <strong>anna</strong>, <time[^>]*>\d s ago", text)
    assert "<td>anna</td><td>Concurrency: 5 (default) → 9." in text


def test_page__lists_the_last_changes_of_settings_only(operator):
    AuditEvent.objects.create(kind="retried", message="42 tasks were retried.")
    for number in range(12):
        live.change({"batch_size": 1000 + number}, {}, by="anna")

    text = read(operator)

    assert "42 tasks" not in text
    assert len(re.findall("<td>anna</td>", text)) == 10
    assert text.index("→ 1,011.") < text.index("→ 1,002.")
    assert "→ 1,001." not in text


def test_page__never_shows_a_key(operator, settings):
    options = {"API_KEY": "sk-secret-1234567890"}
    backend = "embeddings.providers.openai.OpenAIProvider"
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "BACKEND": backend, "OPTIONS": options}}

    shown = read(operator) + save(operator, **{"default.tokens_per_minute": "5"})

    assert "default.tokens_per_minute" in shown
    assert "sk-secret" not in shown


def test_page__works_with_a_provider_that_cannot_be_made(operator, settings):
    settings.EMBEDDING_PROVIDERS = {"broken": {"BACKEND": 5}}

    text = save(operator, **{"broken.requests_per_minute": "5"})

    assert "Saved, and in force everywhere within seconds." in text


# Changing.


def test_save__changes_what_was_typed_and_says_so_everywhere(operator):
    text = save(operator, **{"batch_size": "300", "backoff_base_seconds": "0.5", "default.requests_per_minute": "60"})

    row, event, entry = LiveSettings.objects.get(), AuditEvent.objects.get(), LogEntry.objects.get()
    sentence = (
        f"Batch size: {conf.configured().batch_size} (default) → 300. "
        f"Backoff base seconds: {live.shown(conf.configured().backoff_base_seconds)} (default) → 0.5. "
        "Requests per minute of provider default: no limit (default) → 60."
    )
    assert f"Saved, and in force everywhere within seconds. {sentence}" in text
    assert (row.batch_size, row.backoff_base_seconds, row.concurrency, row.updated_by) == (300, 0.5, None, "staff")
    assert ProviderQuota.objects.get(alias="default").requests_per_minute == 60
    assert (event.message, event.by) == (sentence, "staff")
    assert (entry.change_message, entry.user.username) == (sentence, "staff")
    assert conf.current().batch_size == 300


def test_save__of_a_blank_field_goes_back_to_the_settings_files(operator):
    live.change({"batch_size": 300, "concurrency": 9}, {}, by="anna")

    save(operator, batch_size="")

    assert (LiveSettings.objects.get().batch_size, LiveSettings.objects.get().concurrency) == (None, 9)
    assert conf.current().batch_size == conf.configured().batch_size


def test_save__of_nothing_new_says_so(operator):
    text = save(operator)

    assert "Nothing is different; nothing was saved." in text
    assert not AuditEvent.objects.exists() and not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("batch_size", "0", "Ensure this value is greater than or equal to 1."),
        ("batch_size", "many", "Enter a whole number."),
        ("batch_size", "1\x00", "Enter a whole number."),
        ("concurrency", "9" * 400, "Ensure this value is less than or equal to 64."),
        ("backoff_base_seconds", "nan", "Enter a number."),
        ("backoff_base_seconds", "inf", "Enter a number."),
        ("backoff_base_seconds", "301", "The first delay, 301 s, is longer than the longest, 300 s"),
        ("head_start_low_seconds", "700", "Low tasks, with a head start of 700 s, would overtake"),
        ("default.tokens_per_minute", "0", "Ensure this value is greater than or equal to 1."),
        ("default.tokens_per_minute", "1.5", "Enter a whole number."),
    ],
)
def test_save__says_what_is_wrong_and_loses_nothing(operator, name, value, words):
    text = save(operator, **{"max_attempts": "7", name: value})

    assert words in text
    assert "Nothing was saved" in text
    assert f'value="{value}"'.replace("\x00", "\ufffd") in text.replace("\x00", "\ufffd")
    assert 'value="7"' in text
    assert not LiveSettings.objects.exists() and not AuditEvent.objects.exists()


def test_save__tells_the_second_of_two_who_edit_at_once(operator):
    live.change({"batch_size": 300}, {}, by="anna")
    seen = fields(operator)
    live.change({"batch_size": 400, "concurrency": 2}, {"default": {"tokens_per_minute": 8}}, by="ben")

    mine = seen | {"max_attempts": "9"}
    refused = operator.post(PAGE, mine)
    after_refusal = LiveSettings.objects.get()
    again = operator.post(PAGE, mine | {"seen_at": refused.context["form"]["seen_at"].value()}, follow=True)

    text = html.unescape(refused.content.decode())
    assert "ben has changed the settings since you opened them. Nothing of yours is saved yet." in text
    assert (
        "If you save again, this changes: Batch size: 400 → 300. Concurrency: 2 → 5 (default). "
        "Max attempts: 3 (default) → 9. Tokens per minute of provider default: 8 → no limit (default)."
    ) in text
    assert 'value="9"' in text
    assert (after_refusal.batch_size, after_refusal.max_attempts) == (400, None)
    assert "Saved, and in force everywhere" in html.unescape(again.content.decode())
    assert (LiveSettings.objects.get().batch_size, LiveSettings.objects.get().max_attempts) == (300, 9)


@pytest.mark.parametrize("stamp", ["", "yesterday", "2026-01-01"])
def test_save__with_a_strange_stamp_is_refused_and_not_an_error(operator, stamp):
    live.change({"batch_size": 300}, {}, by="anna")

    text = save(operator, batch_size="5", seen_at=stamp)

    assert "anna has changed the settings since you opened them." in text
    assert LiveSettings.objects.get().batch_size == 300


def test_save__is_refused_where_one_of_the_databases_does_not_answer(operator, settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}

    with sessions.session("other") as other:
        other.execute("ALTER TABLE embeddings_livesettings RENAME TO lost")
        try:
            text = save(operator, batch_size="5")
        finally:
            other.execute("ALTER TABLE lost RENAME TO embeddings_livesettings")

    assert "One of the databases does not answer. Nothing was saved; try again in a moment." in text
    assert 'value="5"' in text
    assert not LiveSettings.objects.exists()
    assert connections["default"].is_usable()


# Permissions.


def test_viewer__sees_everything_and_can_change_nothing(staff):
    live.change({"batch_size": 300}, {}, by="anna")
    viewer = staff("view_livesettings")
    text = read(viewer)

    refused = viewer.post(PAGE, {"batch_size": "5"})

    assert 'value="300"' in text and "You may view the settings, not change them." in text
    assert 'type="submit" value="Save"' not in text
    inputs = re.findall(r'<input type="number"[^>]*>', text)
    assert inputs and all(" disabled" in tag and " readonly" in tag for tag in inputs)
    assert refused.status_code == 403
    assert LiveSettings.objects.get().batch_size == 300


@pytest.mark.parametrize("url", [LIST, PAGE, f"{LIST}add/", f"{PAGE[:-7]}delete/"])
def test_staff_without_permissions__are_refused(staff, url):
    client = staff("view_embeddingtask")

    assert client.get(url).status_code == 403
    assert client.post(url, {"batch_size": "5"}).status_code == 403


def test_operator__can_neither_add_nor_delete(operator):
    live.change({"batch_size": 300}, {}, by="anna")

    assert operator.get(f"{LIST}add/").status_code == 403
    assert operator.post(f"{LIST}1/delete/", {"post": "yes"}).status_code == 403
    assert LiveSettings.objects.exists()


def test_save__needs_the_token_of_the_page(operator):
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies

    assert strict.post(PAGE, {"batch_size": "5"}).status_code == 403


def test_other_pages__lead_to_the_only_one(operator):
    assert operator.get(f"{LIST}7/change/").headers["Location"] == PAGE


def test_page__asks_only_so_many_queries(operator, django_assert_max_num_queries):
    for number in range(12):
        live.change({"batch_size": 1000 + number}, {}, by="anna")

    # Session, user, permissions (2), settings, quotas, changes.
    with django_assert_max_num_queries(8):
        read(operator)
