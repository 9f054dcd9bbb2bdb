"""Endpoints are managed in the admin; secrets are shown once; deliveries can be sent again."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from embeddings import stats
from embeddings.models import AuditEvent, WebhookDelivery, WebhookEndpoint, WebhookEvent
from embeddings.webhooks import endpoints, packages

pytestmark = pytest.mark.django_db(databases=["default", "other"])

State = WebhookDelivery.State
BASE = "/admin/embeddings/webhookendpoint/"
FORM = {"name": "shop", "url": "https://8.8.8.8/hooks?key=abc", "events": ["task.failed"], "is_enabled": "on"}


def make_endpoint(**values: Any) -> WebhookEndpoint:
    given = {"name": "shop", "url": "https://8.8.8.8/", "events": ["task.failed"], "secret": endpoints.new_secret()}
    return WebhookEndpoint.objects.create(**{**given, **values})


def make_delivery(endpoint: WebhookEndpoint, number: int = 0, **values: Any) -> WebhookDelivery:
    payload = {"type": "task.failed", "timestamp": "2030-01-31T18:00:00+00:00", "data": {"tasks": [{"id": number}]}}
    given = {"kind": WebhookEvent.Kind.TASK_FAILED, "message_id": f"msg_{number}", "payload": payload}
    return WebhookDelivery.objects.create(endpoint=endpoint, **{**given, **values})


def text_of(response: Any) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", response.content.decode())))


class TestAdd:
    def test_add__shows_the_secret_once(self, admin_client):
        response = admin_client.post(f"{BASE}add/", FORM)

        endpoint = WebhookEndpoint.objects.get()
        assert response.status_code == 200
        assert endpoint.secret in response.content.decode()
        assert "no-store" in response["Cache-Control"]
        assert (endpoint.created_by, endpoint.events, endpoint.targets) == ("admin", ["task.failed"], [])
        for page in (BASE, f"{BASE}{endpoint.pk}/change/", f"{BASE}{endpoint.pk}/history/"):
            shown = admin_client.get(page)
            assert shown.status_code == 200
            assert endpoint.secret not in shown.content.decode()
        logged = f"{list(AuditEvent.objects.values())} {list(LogEntry.objects.values())}"
        assert "shop" in logged
        assert endpoint.secret not in logged
        assert "key=abc" not in logged and "hooks" not in logged.replace("webhook", "")

    @pytest.mark.parametrize(
        ("url", "sentence"),
        [
            ("http://169.254.169.254/latest/", "not public"),
            ("http://localhost:6379/", "own network"),
            ("ftp://example.com/", "must begin with"),
            ("https://u:p@example.com/", "Leave the user"),
            ("", "Give the address"),
        ],
    )
    def test_add__refuses_an_address_and_keeps_what_was_typed(self, admin_client, url, sentence):
        response = admin_client.post(f"{BASE}add/", {**FORM, "url": url})

        assert sentence in text_of(response)
        assert 'value="shop"' in response.content.decode()
        assert not WebhookEndpoint.objects.exists()

    @pytest.mark.parametrize(
        ("change", "sentence"), [({"events": []}, "at least one event"), ({"name": "taken"}, "of this name")]
    )
    def test_add__says_what_is_wrong(self, admin_client, change, sentence):
        make_endpoint(name="taken")

        response = admin_client.post(f"{BASE}add/", {**FORM, **change})

        assert sentence in text_of(response)

    def test_add__asks_for_the_packages(self, admin_client, monkeypatch):
        monkeypatch.setattr(packages, "missing", lambda: ("standardwebhooks",))

        response = admin_client.post(f"{BASE}add/", FORM)

        assert "pip install 'django-rq-embeddings[webhooks]'" in text_of(response)


class TestChange:
    def test_change__leaves_what_is_not_in_the_form(self, admin_client):
        endpoint = make_endpoint(failing_since=timezone.now())

        admin_client.post(f"{BASE}{endpoint.pk}/change/", {**FORM, "name": "other"})

        after = WebhookEndpoint.objects.get()
        assert (after.name, after.secret, after.failing_since) == ("other", endpoint.secret, endpoint.failing_since)

    def test_change__disables_and_cancels_what_waits(self, admin_client):
        endpoint = make_endpoint()
        delivery = make_delivery(endpoint)

        admin_client.post(f"{BASE}{endpoint.pk}/change/", {**FORM, "is_enabled": ""})

        delivery.refresh_from_db()
        assert delivery.state == State.CANCELLED
        assert not WebhookEndpoint.objects.get().is_enabled

    def test_change__enables_and_offers_what_was_missed(self, admin_client):
        endpoint = make_endpoint(is_enabled=False, disabled_reason="It was gone.")
        make_delivery(endpoint, state=State.CANCELLED)

        response = admin_client.post(f"{BASE}{endpoint.pk}/change/", FORM, follow=True)

        after = WebhookEndpoint.objects.get()
        assert (after.is_enabled, after.disabled_reason) == (True, "")
        assert "1 messages were not delivered: send them again" in text_of(response)

    def test_delete__counts_no_deliveries(self, admin_client, django_assert_max_num_queries):
        endpoint = make_endpoint()
        for number in range(50):
            make_delivery(endpoint, number)

        with django_assert_max_num_queries(12):
            asked = admin_client.get(f"{BASE}{endpoint.pk}/delete/")
        admin_client.post(f"{BASE}{endpoint.pk}/delete/", {"post": "yes"})

        assert "with all its deliveries" in text_of(asked)
        assert not WebhookDelivery.objects.exists()


class TestPages:
    def test_rotate__asks_and_shows_the_new_secret_once(self, admin_client):
        endpoint = make_endpoint()
        asked = admin_client.get(f"{BASE}{endpoint.pk}/rotate/")

        response = admin_client.post(f"{BASE}{endpoint.pk}/rotate/")

        after = WebhookEndpoint.objects.get()
        assert "for 24 hours" in text_of(asked)
        assert after.secret in response.content.decode()
        assert endpoints.valid_secrets(after) == [after.secret, endpoint.secret]
        assert endpoint.secret not in response.content.decode()
        assert after.secret not in admin_client.get(f"{BASE}{endpoint.pk}/change/").content.decode()

    def test_test__queues_a_message(self, admin_client, redis_client):
        endpoint = make_endpoint()

        response = admin_client.post(f"{BASE}{endpoint.pk}/test/", follow=True)

        assert WebhookDelivery.objects.get().kind == "webhook.test"
        assert "A worker sends a test message now." in text_of(response)

    def test_replay__what_was_lost_since(self, admin_client, redis_client):
        endpoint = make_endpoint()
        old = make_delivery(endpoint, 0, state=State.FAILED, created_at=timezone.now() - timedelta(days=9))
        lost = make_delivery(endpoint, 1, state=State.FAILED)
        since = timezone.localtime() - timedelta(hours=1)

        response = admin_client.post(f"{BASE}{endpoint.pk}/replay/", {"since": f"{since:%Y-%m-%dT%H:%M}"}, follow=True)

        old.refresh_from_db()
        lost.refresh_from_db()
        assert (old.state, lost.state) == (State.FAILED, State.WAITING)
        assert "1 message is sent again." in text_of(response)

    def test_replay__bad_time(self, admin_client):
        response = admin_client.post(f"{BASE}{make_endpoint().pk}/replay/", {"since": "soon"})

        assert "Give a date and a time" in text_of(response)

    def test_deliveries__show_their_attempts_and_can_be_sent_again(self, admin_client, redis_client):
        history = [{"at": timezone.now().isoformat(), "status": 500, "seconds": 0.25, "error": "Answered 500: <b>no"}]
        one = make_delivery(make_endpoint(), state=State.FAILED, history=history, error_message="Answered 500: <b>no")
        url = f"/admin/embeddings/webhookdelivery/{one.pk}/change/"

        shown = admin_client.get(url)
        admin_client.post(url, {"_action": "replay_deliveries"})

        one.refresh_from_db()
        assert "0.25 s Answered 500: <b>no" in text_of(shown)
        assert "<b>no" not in shown.content.decode()
        assert '"tasks": [' in text_of(shown)
        assert (one.state, one.attempts) == (State.WAITING, 0)

    def test_deliveries__cost_the_same_queries_whatever_their_number(self, admin_client):
        endpoint = make_endpoint()
        make_delivery(endpoint)
        counts = []
        for numbers in (range(1, 2), range(2, 20)):
            for number in numbers:
                make_delivery(endpoint, number)
            with CaptureQueriesContext(connection) as captured:
                admin_client.get("/admin/embeddings/webhookdelivery/")
            counts.append(len(captured))

        assert counts[0] == counts[1]


class TestCondition:
    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            ({"is_enabled": False, "disabled_reason": "It was gone."}, "The webhook endpoint shop was disabled."),
            ({"failing_since": timezone.now() - timedelta(hours=3)}, "The webhook endpoint shop has taken no message"),
        ],
    )
    def test_conditions__name_endpoints_in_trouble(self, admin_client, values, sentence):
        make_endpoint(**values)

        found = [one for one in stats.conditions(stats.situation()) if one.page == "webhookendpoint"]

        assert [one.level for one in found] == ["degraded"]
        assert found[0].sentence.startswith(sentence)
        assert sentence in text_of(admin_client.get("/admin/embeddings/overview/"))

    @pytest.mark.parametrize("values", [{}, {"is_enabled": False}, {"failing_since": timezone.now()}])
    def test_conditions__say_nothing_of_others(self, values):
        make_endpoint(**values)

        assert not [one for one in stats.conditions(stats.situation()) if one.page == "webhookendpoint"]
