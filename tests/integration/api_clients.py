"""Clients of the API, and what they are answered."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

API = "/api/embeddings/"
VIEW, RETRY, CANCEL = "view_embeddingtask", "retry_embeddingtask", "cancel_embeddingtask"
CLEAR = "clear_embeddingtask"
NO_PAGE = "There is no page with this cursor: begin again without one, and follow `next`."


def client_of(user: User, *codenames: str) -> APIClient:
    """A client of this user, who has exactly these permissions then, on whatever app's models are called so."""
    permissions = Permission.objects.filter(codename__in=codenames)
    assert {permission.codename for permission in permissions} == set(codenames)
    user.user_permissions.set(permissions)
    client = APIClient()
    client.force_authenticate(User.objects.get(pk=user.pk))
    return client


def get(client: APIClient, path: str, **parameters: Any) -> Any:
    """The `data` of an answer that must be good."""
    response = client.get(API + path, parameters)
    assert response.status_code == 200, response.content
    assert response.json()["success"] is True
    return response.json()["data"]


def problem(response: Any, status: int) -> tuple[str, str]:
    """The code and the message of an answer that must be this problem."""
    assert response.status_code == status, response.content
    body = response.json()
    assert set(body) == {"success", "error"}
    assert body["success"] is False
    assert set(body["error"]) == {"code", "message"}
    return body["error"]["code"], body["error"]["message"]
