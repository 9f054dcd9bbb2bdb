"""The pages on which operators pause and resume, and those of providers."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from embeddings import limiter, pauses, quotas, stats
from embeddings.models import AuditEvent, Pause, ProviderState, Status
from embeddings.providers import get_provider
from tests.ledger_rows import make_task
from tests.testapp.models import Memo

pytestmark = pytest.mark.django_db(databases=["default", "other"])

Kind = Pause.Kind
LIST = "/admin/embeddings/pause/"
FORM = "/admin/embeddings/pause/pause/"
PROVIDERS = "/admin/embeddings/providerstate/"
GIVEN = {"what": "provider:default", "reason": "a new key", "ends": "1h"}
SECRET = "sk-very-secret"


@pytest.fixture
def staff(client: Client):
    """Log in a member of staff who has exactly these permissions."""

    def log_in(*codenames: str) -> Client:
        user = User.objects.create_user("ada", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return log_in


def pause(kind: str = Kind.PROVIDER, name: str = "default", **options: object) -> Pause:
    return pauses.pause(kind, name, **{"reason": "a new key", "by": "bob", **options})


def page(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def words(html: str) -> str:
    """The text of a page's middle, on one line."""
    middle = html.partition('id="content"')[2].partition("<footer")[0]
    return " ".join(re.sub(r"<[^>]*>", " ", middle).split())


def resume_url(pause: Pause) -> str:
    return reverse("admin:embeddings_pause_resume", args=[pause.pk])


# To pause.


def test_form__has_what_a_link_asks_for(staff):
    client = staff("set_pause")

    html = page(client, f"{FORM}?kind=target&name=testapp.post.embedding")

    assert 'value="target:testapp.post.embedding" selected' in html
    assert not Pause.objects.exists()


def test_form__shows_what_will_wait_before_anything_is_paused(staff):
    client = staff("set_pause")
    make_task()
    make_task(Status.RATE_LIMITED)
    make_task(Status.COMPLETED)
    make_task(provider="other")

    said = words(client.post(FORM, GIVEN).content.decode())

    assert "2 tasks that wait now will wait until 20" in said
    assert "searches by meaning that need it find by words" in said
    assert "a new key" in said
    assert not Pause.objects.exists()


def test_form__pauses_once_it_is_confirmed(staff):
    client = staff("set_pause", "view_pause")

    response = client.post(FORM, {**GIVEN, "_confirmed": "1"}, follow=True)

    (found,) = pauses.in_force()
    assert (found.kind, found.name, found.reason, found.by) == ("provider", "default", "a new key", "ada")
    assert timedelta(minutes=59) < found.ends_at - timezone.now() <= timedelta(hours=1)
    assert response.redirect_chain == [(LIST, 302)]
    assert "Provider default is paused." in response.content.decode()
    assert LogEntry.objects.get().get_change_message() == "Paused: a new key"
    assert AuditEvent.objects.get().by == "ada"


@pytest.mark.parametrize(("choice", "hours"), [("4h", 4), ("never", None)])
def test_form__knows_ends(staff, choice, hours):
    staff("set_pause").post(FORM, {**GIVEN, "ends": choice, "_confirmed": "1"})

    ends_at = Pause.objects.get().ends_at
    left = ends_at and round((ends_at - timezone.now()).total_seconds() / 3600, 2)
    assert left == hours


def test_form__ends_tomorrow_morning_and_at_a_time_of_the_users_zone(staff, settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    client = staff("set_pause")
    tomorrow = timezone.localtime() + timedelta(days=1)

    client.post(FORM, {**GIVEN, "ends": "tomorrow", "_confirmed": "1"})
    first = timezone.localtime(Pause.objects.get().ends_at)
    client.post(FORM, {**GIVEN, "ends": "time", "ends_at": "2100-01-31T18:00", "_confirmed": "1"})
    other = timezone.localtime(Pause.objects.get().ends_at)

    assert (first.date(), first.hour, first.minute) == (tomorrow.date(), 8, 0)
    assert f"{other:%Y-%m-%d %H:%M %Z}" == "2100-01-31 18:00 JST"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"reason": " "}, "Give a reason: who finds it paused will want to know why."),
        ({"ends": "time"}, "Give the time at which it ends, or choose another end."),
        ({"ends": "time", "ends_at": "2001-01-01T00:00"}, "Give a time to come: it is 20"),
        ({"ends": "time", "ends_at": "soon"}, "Give a date and a time, such as 2030-01-31 18:00."),
        ({"what": "provider:nobody"}, "is not one of the available choices."),
    ],
)
def test_form__says_what_is_wrong_and_keeps_the_rest(staff, wrong, sentence):
    response = staff("set_pause").post(FORM, {**GIVEN, "reason": "my reason", "_confirmed": "1", **wrong})

    html = response.content.decode()
    assert sentence in html
    assert "nothing is paused yet" in html
    assert "reason" in wrong or 'value="my reason"' in html
    assert not Pause.objects.exists()


def test_form__goes_back_with_all_that_was_given(staff):
    html = staff("set_pause").post(FORM, {**GIVEN, "ends": "4h", "_change": "1"}).content.decode()

    assert 'value="a new key"' in html
    assert re.search(r'value="4h"[^>]* checked', html)
    assert "Go on to see what will wait" in html


def test_form__says_what_it_takes_the_place_of_and_that_no_worker_goes_on(staff, settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False}
    pause()

    said = words(staff("set_pause").post(FORM, GIVEN).content.decode())

    assert "It is paused already, by bob" in said
    assert "Run manage.py requeue_missing then." in said


@pytest.mark.parametrize(("wanted", "reached"), [(PROVIDERS, PROVIDERS), ("https://example.org/", LIST)])
def test_form__leads_back_to_pages_of_this_host_only(staff, wanted, reached):
    response = staff("set_pause").post(FORM, {**GIVEN, "_confirmed": "1", "next": wanted})

    assert response["Location"] == reached


# To see and to resume.


def test_list__shows_what_is_in_force_with_what_waits(staff):
    client = staff("view_pause")
    make_task()
    make_task(Status.SCHEDULED, model=Memo)
    pause(Kind.TARGET, "testapp.post.embedding", reason="the import was wrong")
    pause(ends_at=timezone.now() + timedelta(minutes=10))
    over = pause(Kind.EVERYTHING, "", ends_at=timezone.now() + timedelta(hours=1))
    Pause.objects.filter(pk=over.pk).update(ends_at=timezone.now())

    html = page(client, LIST)

    rows = [words(f'id="content"{row}') for row in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)]
    assert [row.partition(" bob")[0] for row in rows[-2:]] == [
        "Provider default a new key",
        "Target testapp.post.embedding the import was wrong",
    ]
    assert re.search(r"in \d+ (min|s) 2$", rows[-2])
    assert rows[-1].endswith("when somebody resumes it 1")
    assert "Resume" not in words(html)
    assert "Pause…" not in words(html)


def test_resume__from_the_list_and_from_its_own_page(staff):
    client = staff("view_pause", "set_pause")
    one, other = pause(), pause(Kind.EVERYTHING, "")
    assert page(client, LIST).count(">Resume</button>") == 2

    first = client.post(f"{resume_url(one)}?next={PROVIDERS}")
    client.post(f"{LIST}{other.pk}/change/", {"_action": "resume_pauses"})

    assert first["Location"] == PROVIDERS
    assert not Pause.objects.exists()
    assert {entry.get_change_message() for entry in LogEntry.objects.all()} == {"Resumed."}
    assert set(AuditEvent.objects.filter(kind="resumed").values_list("by", flat=True)) == {"ada"}


def test_resume__of_what_goes_on_already_says_so(staff):
    client = staff("view_pause", "set_pause")
    gone = pause()
    pauses.resume(Kind.PROVIDER, "default", by="bob")

    response = client.post(resume_url(gone), follow=True)

    assert "it was not paused any more" in response.content.decode()


def test_resume__is_no_link(staff):
    found = pause()

    response = staff("set_pause").get(resume_url(found))

    assert response.status_code == 405
    assert Pause.objects.exists()


@pytest.mark.parametrize("url", [FORM, "resume", "page", "list"])
def test_pauses__are_changed_by_nobody_without_the_permission(staff, url):
    found = pause()
    client = staff("view_pause", "view_providerstate", "resume_providerstate", "view_embeddingtask")
    addresses = {"resume": resume_url(found), "page": f"{LIST}{found.pk}/change/", "list": LIST}
    data = {**GIVEN, "_confirmed": "1", "action": "resume_pauses", "_action": "resume_pauses"}

    response = client.post(addresses.get(url, url), {**data, "_selected_action": [str(found.pk)]})

    assert response.status_code == 403
    (left,) = Pause.objects.all()
    assert (left.pk, left.by) == (found.pk, "bob")
    assert client.get(FORM).status_code == 403


def test_pauses__are_seen_by_nobody_without_a_permission(staff):
    assert staff().get(LIST).status_code == 403


# Counts.


def test_held__counts_of_all_databases_up_to_a_limit(settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}
    for _ in range(3):
        make_task()
    make_task(Status.SCHEDULED, model=Memo, provider="second")

    assert str(stats.held(Kind.EVERYTHING)) == "4"
    assert str(stats.held(Kind.PROVIDER, "second")) == "1"
    assert str(stats.held(Kind.TARGET, "testapp.memo.embedding")) == "1"
    assert str(stats.held(Kind.PROVIDER, "default", most=2)) == "2+"


# Providers.


def test_providers__are_listed_before_anything_went_wrong(staff, settings):
    one = {**settings.EMBEDDING_PROVIDERS["default"], "OPTIONS": {"LATENCY_SECONDS": 0.125, "LOG": SECRET}}
    settings.EMBEDDING_PROVIDERS = {"default": one, "second": {**one, "MODEL": "large", "DIMENSIONS": 1536}}
    ProviderState.objects.create(alias="gone")
    client = staff("view_providerstate")

    html = page(client, PROVIDERS)

    said = words(html)
    assert "2 providers" not in said
    assert "default dummy 256 dimensions available" in said
    assert "second large 1,536 dimensions available" in said
    assert "gone not configured" in said
    assert SECRET not in html
    detail = page(client, f"{PROVIDERS}second/change/")
    assert "It may be called." in detail
    assert "DummyProvider" in detail
    assert "?provider=second" in detail
    assert SECRET not in detail
    assert "Pause…" not in html + detail
    assert not ProviderState.objects.filter(alias="second").exists()


def test_providers__say_who_paused_them_and_go_on_by_a_button(staff):
    client = staff("view_providerstate", "set_pause", "resume_providerstate")
    limiter.misconfigured("default", "A bad key.")
    found = pause(ends_at=timezone.now() + timedelta(minutes=10))

    html = page(client, PROVIDERS)

    assert re.search("paused by bob, ends in 10 min : a new key", words(html))
    assert f'formaction="{resume_url(found)}?next=' in html
    assert "A bad key." not in html
    assert "Call it again now" not in html
    pauses.resume(Kind.PROVIDER, "default", by="bob")
    html = page(client, PROVIDERS)
    assert "Call it again now" in html
    assert "A bad key." in html
    assert "kind=provider&amp;name=default" in html


def test_providers__say_that_everything_is_paused(staff):
    pause(Kind.EVERYTHING, "")

    assert "everything is paused" in words(page(staff("view_providerstate"), PROVIDERS))


def test_providers__that_are_declared_wrongly_say_what_to_change(staff, settings):
    settings.EMBEDDING_PROVIDERS = {"default": {"BACKEND": "x", "MODEL": "m", "DIMENSIONS": 0}}
    client = staff("view_providerstate")

    assert "cannot be used" in words(page(client, PROVIDERS))
    assert "needs DIMENSIONS" in words(page(client, f"{PROVIDERS}default/change/"))


def test_providers__show_their_quotas(staff, settings, redis_client):
    one = settings.EMBEDDING_PROVIDERS["default"]
    settings.EMBEDDING_PROVIDERS = {"default": {**one, "REQUESTS_PER_MINUTE": 500, "TOKENS_PER_MINUTE": 1_000_000}}
    client = staff("view_providerstate")
    for _ in range(3):
        quotas.spend(get_provider("default"), 1_500)

    said = words(page(client, PROVIDERS))
    settings.RQ_QUEUES = {"embeddings": {"URL": "redis://127.0.0.1:1/0"}}  # where nobody listens
    without = words(page(client, PROVIDERS))

    assert "3 of 500 requests 4,500 of 1,000,000 tokens" in said
    assert "use unknown: Redis is away (500 requests, 1,000,000 tokens)" in without


def test_providers__called_again_by_hand_are_audited(staff):
    limiter.misconfigured("default", "A bad key.")

    staff("view_providerstate", "resume_providerstate").post(
        f"{PROVIDERS}default/change/", {"_action": "resume_providers"}
    )

    assert AuditEvent.objects.get(kind="unblocked").by == "ada"
    assert ProviderState.objects.get().blocked_reason == ""
