"""The pages of the audit log and of the alerts."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models.functions import Now
from django.test import Client

from embeddings import audit
from embeddings.admin import audit as audit_page
from embeddings.models import Alert, AuditEvent

pytestmark = pytest.mark.django_db(databases=["default", "other"])

LOG = "/admin/embeddings/auditevent/"
ALERTS = "/admin/embeddings/alert/"


def page(client: Client, url: str) -> str:
    response = client.get(url)

    assert response.status_code == 200
    return response.content.decode()


def rows(html: str) -> list[str]:
    """The text of the list's rows; moments are taken for one."""
    body = html.partition("<tbody>")[2].partition("</tbody>")[0]
    texts = (" ".join(re.sub("<[^>]*>", " ", row).split()) for row in body.split("</tr>")[:-1])
    return [re.sub(r"\b\d s\b", "0 s", text) for text in texts]


def message(row: str) -> str:
    """Of an entry."""
    found = re.search(r"ago (\S+)", row)
    assert found
    return found[1]


def alert(kind: str = "failed", **values: object) -> Alert:
    return Alert.objects.create(**{"kind": kind, "message": f"Something: {kind}.", **values})


@pytest.fixture
def staff(client: Client) -> Client:
    """A member of staff who may view both, and nothing else."""
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_auditevent", "view_alert"]))
    client.force_login(user)
    return client


class TestLog:
    def test_log__says_what_about_what_by_whom_and_when(self, staff):
        audit.record(audit.Kind.PAUSED, "Paused for a move.", subject="provider default", by="ann")
        audit.record(audit.Kind.ALERT, "Tasks wait.")

        found = rows(page(staff, LOG))

        assert found == [
            "alert 0 s ago Tasks wait.",
            "paused 0 s ago Paused for a move. about provider default, by ann",
        ]

    def test_log__by_kind(self, staff):
        audit.record(audit.Kind.PAUSED, "One.")
        audit.record(audit.Kind.RESUMED, "Two.")

        assert [message(row) for row in rows(page(staff, f"{LOG}?kind__exact=resumed"))] == ["Two."]

    @pytest.mark.parametrize("term", ["provider default", "ann", " ann "])
    def test_log__search_is_exact(self, staff, term):
        audit.record(audit.Kind.PAUSED, "One.", subject="provider default", by="ann")
        audit.record(audit.Kind.PAUSED, "Two.", subject="provider default2", by="anna")

        assert [message(row) for row in rows(page(staff, f"{LOG}?q={term}"))] == ["One."]

    def test_log__search_is_of_the_latest_entries(self, staff, monkeypatch):
        monkeypatch.setattr(audit_page, "SEARCHED", 2)
        for message in ("One.", "Two.", "Three."):
            audit.record(audit.Kind.PAUSED, message, by="ann")

        assert len(rows(page(staff, f"{LOG}?q=ann"))) == 2

    def test_log__of_nothing_can_be_searched(self, staff):
        assert rows(page(staff, f"{LOG}?q=ann")) == []

    def test_entry__shows_its_details(self, staff):
        audit.record(audit.Kind.SETTINGS, "Two settings were changed.", by="ann", batch_size=[256, "<b>"])
        event = AuditEvent.objects.get()

        html = page(staff, f"{LOG}{event.pk}/change/")

        assert "&quot;batch_size&quot;: [\n    256,\n    &quot;&lt;b&gt;&quot;\n  ]" in html
        assert "Two settings were changed." in html

    def test_log__costs_the_same_queries_whatever_the_rows(self, staff, django_assert_num_queries):
        for number in range(30):
            audit.record(audit.Kind.PAUSED, str(number))
        page(staff, LOG)

        # Four are for the list's time limit.
        with django_assert_num_queries(10):
            page(staff, LOG)

    def test_log__is_that_of_the_first_database(self, staff, settings):
        settings.EMBEDDINGS = {"DATABASES": ["other", "default"]}
        audit.record(audit.Kind.PAUSED, "There.")

        assert [message(row) for row in rows(page(staff, LOG))] == ["There."]
        event = AuditEvent.objects.using("other").get()
        assert "There." in page(staff, f"{LOG}{event.pk}/change/")


class TestAlerts:
    def test_alerts__say_what_is_wrong_and_for_how_long(self, staff):
        alert("no_worker")
        over = alert("provider", subject="default")
        Alert.objects.filter(pk=over.pk).update(
            raised_at=Now() - timedelta(minutes=10), over_at=Now() - timedelta(minutes=3)
        )

        found = rows(page(staff, ALERTS))

        assert found == [
            "over Something: provider. providers 10 min ago 7 min",
            "open Something: no_worker. workers 0 s ago 0 s up to now",
        ]

    @pytest.mark.parametrize(("state", "kinds"), [("open", ["failed"]), ("over", ["waiting"]), ("x", [])])
    def test_alerts__by_state(self, staff, state, kinds):
        alert("failed")
        alert("waiting", over_at=Now())

        found = rows(page(staff, f"{ALERTS}?state={state}"))

        assert [row.split()[2].rstrip(".") for row in found] == kinds

    @pytest.mark.parametrize("kind", Alert.Kind.values)
    def test_alert__has_a_page_and_leads_to_another(self, admin_client, kind):
        html = page(admin_client, f"{ALERTS}{alert(kind).pk}/change/")

        assert f"Something: {kind}." in html
        (url,) = re.findall('<span class="embeddings-one-line"><a href="([^"]+)"', html)
        assert admin_client.get(url).status_code == 200


@pytest.mark.parametrize("url", [LOG, ALERTS])
class TestPermissions:
    def test_pages__need_a_permission(self, client, url):
        client.force_login(User.objects.create_user("staff", is_staff=True))

        assert client.get(url).status_code == 403

    def test_pages__change_nothing(self, admin_client, url):
        audit.record(audit.Kind.PAUSED, "Paused.", by="ann")
        one = AuditEvent.objects.get() if url == LOG else alert()

        answers = [
            admin_client.post(f"{url}add/", {"message": "forged"}),
            admin_client.post(f"{url}{one.pk}/change/", {"message": "forged"}),
            admin_client.post(f"{url}{one.pk}/delete/", {"post": "yes"}),
        ]

        assert [answer.status_code for answer in answers] == [403] * 3
        assert type(one).objects.get().message == one.message
