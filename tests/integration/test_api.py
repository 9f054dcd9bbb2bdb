"""What all of the API has in common: permissions, problems, the schema."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.test import Client
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from embeddings.models import EmbeddingTask, Status
from tests.integration.api_clients import API, CANCEL, RETRY, VIEW, get, problem
from tests.ledger_rows import make_task

pytestmark = pytest.mark.django_db


class TestPermissions:
    """{verb: the permission it takes}"""

    @pytest.fixture(params=["queue", "list", "detail", "retry", "cancel", "search"])
    def verb(self, request) -> tuple[str, str, str]:
        failed, pending = make_task(Status.FAILED).pk, make_task(Status.PENDING).pk
        return {
            "queue": ("get", "queue/status/", VIEW),
            "list": ("get", "tasks/", VIEW),
            "detail": ("get", f"tasks/{failed}/", VIEW),
            "retry": ("post", f"tasks/{failed}/retry/", RETRY),
            "cancel": ("post", f"tasks/{pending}/cancel/", CANCEL),
            "search": ("get", "search/?model=testapp.post&q=x", "view_post"),
        }[request.param]

    def test_verb__asks_who_is_there(self, verb):
        method, path, _ = verb

        response = getattr(APIClient(), method)(API + path)

        assert response.status_code in {401, 403}
        code, message = problem(response, response.status_code)
        assert (code, "send a token" in message) == ("not_authenticated", True)

    def test_verb__refuses_a_wrong_password(self, verb, user):
        method, path, _ = verb
        client = APIClient(HTTP_AUTHORIZATION="Basic cmVhZGVyOndyb25n")  # reader:wrong

        response = getattr(client, method)(API + path)

        assert problem(response, response.status_code)[0] == "authentication_failed"

    def test_verb__needs_its_permission_and_says_which(self, verb, api):
        method, path, needed = verb
        others = {VIEW, RETRY, CANCEL, "view_post"} - {needed}

        code, message = problem(getattr(api(*others), method)(API + path), 403)

        assert code == "permission_denied"
        assert message.endswith(f"{needed}.")
        assert set(EmbeddingTask.objects.values_list("status", flat=True)) == {Status.FAILED, Status.PENDING}

    def test_verb__is_done_with_its_permission(self, verb, api):
        method, path, needed = verb

        response = getattr(api(needed), method)(API + path)

        assert response.status_code == 200

    def test_post__needs_a_csrf_token_with_a_session(self, user):
        user.user_permissions.set(Permission.objects.filter(codename=RETRY))
        task = make_task(Status.FAILED)
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)

        response = client.post(f"{API}tasks/{task.pk}/retry/")

        task.refresh_from_db()
        assert problem(response, 403)[0] == "permission_denied"
        assert task.status == Status.FAILED


class TestTokens:
    def client(self, key: str) -> APIClient:
        return APIClient(headers={"authorization": f"Token {key}"})

    def test_token__made_in_the_admin_is_its_users(self, admin_client, user):
        user.user_permissions.set(Permission.objects.filter(codename=VIEW))
        admin_client.post("/admin/authtoken/tokenproxy/add/", {"user": user.pk})
        client = self.client(Token.objects.get(user=user).key)

        assert get(client, "tasks/")["results"] == []
        assert problem(client.post(f"{API}tasks/1/retry/"), 403)[0] == "permission_denied"

    def test_token__is_made_by_superusers_only(self, client, user):
        user.is_staff = True
        user.save()
        client.force_login(user)

        assert client.post("/admin/authtoken/tokenproxy/add/", {"user": user.pk}).status_code == 403

    @pytest.mark.parametrize("key", ["x", "x y", ""])
    def test_token__that_is_none(self, key):
        response = self.client(key).get(f"{API}tasks/")

        assert problem(response, response.status_code)[0] == "authentication_failed"


class TestQueueStatus:
    def test_get__has_the_shape_that_clients_read(self, api, django_assert_num_queries):
        for status in Status.values:
            make_task(status)
        client = api(VIEW)
        get(client, "queue/status/")

        with django_assert_num_queries(1):
            data = get(client, "queue/status/")

        assert data == {"queueLength": 3, "processing": 1, "isProcessing": True}

    def test_get__at_rest(self, api):
        assert get(api(VIEW), "queue/status/") == {"queueLength": 0, "processing": 0, "isProcessing": False}


class TestSchema:
    def test_schema__is_valid_and_without_warnings(self, tmp_path):
        call_command("spectacular", "--fail-on-warn", "--validate", "--file", str(tmp_path / "schema.yml"))

        schema = (tmp_path / "schema.yml").read_text()
        for path in ("queue/status/", "tasks/", "tasks/{task_id}/", "tasks/{task_id}/retry/", "search/", "texts/"):
            assert f"{API}{path}:" in schema

    def test_schema__is_for_those_who_are_logged_in(self, client, user):
        assert client.get("/api/schema/").status_code in {401, 403}
        assert client.get("/api/docs/").headers["Location"] == "/login/?next=/api/docs/"

        client.force_login(user)

        assert client.get("/api/schema/").status_code == 200
        assert "swagger" in client.get("/api/docs/").content.decode()
